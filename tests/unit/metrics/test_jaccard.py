import plain_metrics
import pytest
import torch

from vosfw.metrics import jaccard


def test_worked_by_hand():
    pred = torch.tensor([[[1, 1, 0], [2, 2, 0]], [[0, 0, 0], [0, 0, 2]]])
    truth = torch.tensor([[[1, 0, 0], [1, 2, 2]], [[0, 0, 0], [0, 2, 0]]])
    # Frame 0: object 1 shares 1 of 3 pixels, object 2 1 of 3. Frame 1: object 1 is in neither, object 2 shares none.
    wanted = torch.tensor([[1 / 3, 1 / 3], [1, 0]], dtype=torch.float64)
    torch.testing.assert_close(jaccard(pred, truth, 2), wanted, rtol=0, atol=1e-15)


def test_void_pixels_do_not_count():
    pred = torch.tensor([[[1, 1, 1, 0]]])
    truth = torch.tensor([[[1, 0, 255, 1]]])
    assert jaccard(pred, truth, 1).item() == pytest.approx(1 / 3)
    assert jaccard(pred, truth, 1, torch.tensor([[[False, True, False, True]]])).item() == 1


def test_equals_the_plain_one():
    pred, truth = plain_metrics.blobs(3, 4, (60, 90))
    wanted = torch.from_numpy(plain_metrics.j_and_f(pred, truth, 4)[0])
    found = jaccard(torch.from_numpy(pred), torch.from_numpy(truth), 4)
    assert 0.2 < wanted.mean() < 0.99
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
