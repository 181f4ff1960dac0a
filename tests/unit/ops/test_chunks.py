"""Work on a few rows at a time."""

import pytest
import torch

from vosfw.ops import chunks


def doubled(x):
    return torch.cat([2 * x, -x], 1)


@pytest.mark.parametrize("channels", [3, 6, 8])
def test_results_may_take_the_place_of_their_input(channels, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", {"cpu": 2 * 6 * 20 * 4})
    x = torch.randn(5, 3, 4, 5)
    old = torch.zeros(5, channels, 4, 5)
    got = chunks.in_chunks(doubled, 6, x, size=(4, 5), over=old)
    torch.testing.assert_close(got, doubled(x), atol=0, rtol=0)
    assert (got.data_ptr() == old.data_ptr()) == (channels >= 6)
    kept = torch.zeros(5, channels, 4, 5, dtype=torch.float64)
    assert chunks.in_chunks(doubled, 6, x, size=(4, 5), over=kept).dtype == torch.float32
    assert not kept.any()


def test_a_chunk_reads_its_rows_before_they_are_replaced(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", {"cpu": 2 * 3 * 20 * 4})
    x = torch.randn(5, 3, 4, 5)
    want = x[:, :2].cumsum(1)
    got = chunks.in_chunks(lambda rows: rows[:, :2].cumsum(1), 2, x, size=(4, 5), over=x)
    torch.testing.assert_close(got, want, atol=0, rtol=0)


def test_with_gradients_all_rows_are_worked_on_at_once(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", {"cpu": 1})
    x = torch.randn(4, 2, 3, 3, requires_grad=True)
    seen = []
    chunks.in_chunks(lambda rows: seen.append(len(rows)) or rows * 2, 2, x, size=(3, 3), over=x).sum().backward()
    assert seen == [4]
    assert torch.equal(x.grad, torch.full_like(x, 2.0))
