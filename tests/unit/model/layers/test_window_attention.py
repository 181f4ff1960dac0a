import pytest
import torch

from vosfw.model.layers.window_attention import WindowAttention, WindowBlock
from vosfw.ops.windows import Windows

WINDOW = (2, 3, 3)


def attention(**options):
    torch.manual_seed(0)
    defaults = {"shared_projection": True, "clamped_index": "corner", "padding": True}
    made = WindowAttention(4, 6, WINDOW, **(defaults | options)).eval()
    torch.nn.init.normal_(made.qk.bias)
    torch.nn.init.normal_(made.v.bias)
    return made


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("padding", [False, True])
@torch.no_grad()
def test_weights_add_up_to_one(shifted, padding):
    made, key = attention(padding=padding), torch.randn(2, 3, 5, 7, 4)
    windows = Windows.plan((3, 5, 7), WINDOW, shifted=shifted)
    weights = made.weights(key, windows)
    cells = windows.window[0] * windows.window[1] * windows.window[2]
    assert weights.shape[2:] == (cells, cells)
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3]))
    real = windows.split(torch.ones(1, 3, 5, 7, 1))[0, :, :, 0] > 0
    on_padding = (weights * ~real[None, :, None]).sum(-1)[:, real]
    assert (on_padding.max() > 1e-3) == padding


@torch.no_grad()
def test_projections_after_the_weighted_sum_are_those_before_it():
    made, windows = attention(), Windows.plan((3, 5, 7), WINDOW, shifted=True)
    value, weights = torch.randn(1, 3, 5, 7, 2, 6), attention().weights(torch.randn(1, 3, 5, 7, 4), windows)
    for slot in range(2):
        # A cell that pads is zero before the projection, and its bias behind it.
        projected = windows.split(torch.nn.functional.linear(value[..., slot, :], made.v.weight)) + made.v.bias
        wanted = made.proj(windows.join(weights @ projected))
        torch.testing.assert_close(made(value, weights, windows)[..., slot, :], wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_two_projections():
    made, windows = attention(shared_projection=False), Windows.plan((2, 3, 3), WINDOW, shifted=False)
    assert made.qk.weight.shape == (8, 4)
    key = torch.randn(1, 2, 3, 3, 4)
    query, keys = made.qk(key.reshape(18, 4)).chunk(2, -1)
    index = [
        [((a // 9 - b // 9 + 1) * 5 + a // 3 % 3 - b // 3 % 3 + 2) * 5 + a % 3 - b % 3 + 2 for b in range(18)]
        for a in range(18)
    ]
    logits = query @ keys.T / 2 + made.position_bias[torch.tensor(index)]
    torch.testing.assert_close(made.weights(key, windows)[0, 0], logits.softmax(-1), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_rows_by_chunks_are_the_same(monkeypatch):
    torch.manual_seed(0)
    block = WindowBlock(4, 6, 12, attention(), shifted=True).eval()
    key, value = torch.randn(1, 3, 5, 7, 4), torch.randn(1, 3, 5, 7, 2, 6)
    weights, whole = block.weights(key), block(value, block.weights(key))
    monkeypatch.setattr("vosfw.model.layers.window_attention.ROWS", 16)
    torch.testing.assert_close(block(value, weights), whole)
    with torch.enable_grad():
        torch.testing.assert_close(block(value, weights).detach(), whole)
