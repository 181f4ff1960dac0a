import torch
from plain_matching import plain_aspp, randomize

from vosfw.model.layers.head_aspp import HeadASPP

X = torch.randn(2, 6, 9, 8, generator=torch.Generator().manual_seed(0))


def test_equals_gate_then_gct_then_convolutions():
    aspp, gains = randomize(HeadASPP(6, 8, rates=(2, 3))), torch.rand(2, 6)
    got = aspp(X, gains)
    assert got.shape == (2, 8, 9, 8)
    torch.testing.assert_close(got, plain_aspp(aspp, X * gains[:, :, None, None]), atol=1e-4, rtol=1e-4)


def test_gradients_reach_every_parameter_and_the_gains():
    aspp, gains = randomize(HeadASPP(6, 8)), torch.rand(2, 6, requires_grad=True)
    aspp(X, gains).square().sum().backward()
    assert gains.grad.any()
    assert [name for name, p in aspp.named_parameters() if not p.grad.any()] == []
