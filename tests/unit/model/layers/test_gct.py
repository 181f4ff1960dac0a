import pytest
import torch
from plain_matching import gct, plain_bottleneck, randomize

from vosfw.model.layers.gct import GCT, GatedBottleneck, scaled_pointwise


@pytest.fixture
def x():
    return torch.randn(3, 8, 7, 6, generator=torch.Generator().manual_seed(0))


def test_gains_by_hand():
    """Norms 3 and 4 (of 3 alone, and of four 2s); alpha 2 and 1: e = 6 and 4, rms = sqrt(26)."""
    layer = GCT(2)
    values = {"alpha": [2.0, 1.0], "gamma": [1.0, -0.5], "beta": [0.25, 0.0]}
    layer.load_state_dict({k: torch.tensor(v).view(1, 2, 1, 1) for k, v in values.items()})
    x = torch.tensor([[3.0, 0, 0, 0], [2, 2, 2, 2]]).view(1, 2, 2, 2)
    gains = 1 + torch.tensor([6 / 26**0.5 + 0.25, -2 / 26**0.5]).tanh()
    torch.testing.assert_close(layer(x), x * gains.view(1, 2, 1, 1), atol=1e-5, rtol=1e-5)


def test_a_new_layer_changes_nothing(x):
    assert torch.equal(GCT(8)(x), x)


def test_a_map_of_zeros_has_finite_gradients():
    layer, x = randomize(GCT(4)), torch.zeros(1, 4, 2, 2, requires_grad=True)
    layer(x).sum().backward()
    assert all(p.grad.isfinite().all() for p in (x, *layer.parameters()))


def test_scaled_weights_equal_a_scaled_map(x):
    weight, gains = torch.rand(5, 8, 1, 1), torch.rand(3, 8)
    wanted = torch.nn.functional.conv2d(x * gains[:, :, None, None], weight)
    torch.testing.assert_close(scaled_pointwise(x, weight, gains), wanted)


@pytest.mark.parametrize(
    ("out", "stride", "dilation"), [(8, 1, 1), (8, 1, 3), (16, 1, 2), (8, 2, 1), (16, 2, 2)], ids=str
)
def test_bottleneck_equals_gate_then_gct_then_convolutions(x, out, stride, dilation):
    block = randomize(GatedBottleneck(8, out, stride, dilation))
    assert (block.shortcut is None) == (out == 8 and stride == 1)
    gains = torch.rand(3, 8)
    y = block(x, gains)
    assert y.shape == (3, out, -(-7 // stride), -(-6 // stride))
    torch.testing.assert_close(y, plain_bottleneck(block, x * gains[:, :, None, None]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("out", [8, 16])
def test_gradients_equal_those_of_the_plain_bottleneck(x, out):
    block, found = randomize(GatedBottleneck(8, out)), []
    for plain in (True, False):
        block.zero_grad()
        inputs = x.clone().requires_grad_(), torch.linspace(0.2, 1.8, 24).view(3, 8).requires_grad_()
        y = plain_bottleneck(block, inputs[0] * inputs[1][:, :, None, None]) if plain else block(*inputs)
        y.square().sum().backward()
        found.append([part.grad.clone() for part in (*inputs, *block.parameters())])
    for wanted, got in zip(*found, strict=True):
        assert wanted.any()
        torch.testing.assert_close(got, wanted, atol=1e-3, rtol=1e-3)


def test_the_plain_gct_is_the_layer(x):
    layer = randomize(GCT(8))
    torch.testing.assert_close(layer(x), gct(layer, x))
