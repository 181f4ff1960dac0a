import numpy as np
import plain_metrics
import pytest
import torch

from vosfw.metrics import statistics


def test_worked_by_hand():
    values = torch.tensor([[1.0, 0.5], [0.8, 0.6], [0.6, 0.5], [0.4, 0.4], [0.2, 0.0]], dtype=torch.float64)
    # Five frames: the quarters are frames 0-1, 1-2, 2-3 and 3-4. One half itself does not count as recalled.
    found = statistics(values)
    torch.testing.assert_close(found.mean, torch.tensor([0.6, 0.4], dtype=torch.float64))
    torch.testing.assert_close(found.recall, torch.tensor([0.6, 0.2], dtype=torch.float64))
    torch.testing.assert_close(found.decay, torch.tensor([0.9 - 0.3, 0.55 - 0.2], dtype=torch.float64))


@pytest.mark.parametrize("frames", [*range(1, 40), 255, 256, 257, 258, 999])
def test_equals_the_plain_one_for_any_length(frames):
    values = np.random.default_rng(frames).random((frames, 3))
    found = torch.stack(statistics(torch.from_numpy(values)))
    wanted = torch.tensor([plain_metrics.statistics(column) for column in values.T], dtype=torch.float64).T
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_without_frames_there_is_no_number():
    assert torch.stack(statistics(torch.zeros(0, 2, dtype=torch.float64))).isnan().all()
