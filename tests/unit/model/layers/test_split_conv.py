import pytest
import torch

from vosfw.model.layers.split_conv import SplitConv2d, add_shared


def test_add_shared():
    x = torch.zeros(4, 1, 1, 1)
    assert add_shared(x, torch.tensor([1.0, 2.0])[:, None, None, None]).flatten().tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("frame_first", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_equals_the_convolution_of_the_concatenation(frame_first, stride):
    torch.manual_seed(0)
    layer = SplitConv2d(3, 2, 4, 3, stride, frame_first=frame_first)
    x, frame = torch.randn(6, 3, 8, 10, requires_grad=True), torch.randn(2, 2, 8, 10, requires_grad=True)
    got = layer(x, layer.frame_half(frame))
    got.square().sum().backward()
    grads = [t.grad for t in (x, frame, layer.weight, layer.bias)]
    for t in (x, frame, layer.weight, layer.bias):
        t.grad = None
    parts = [x, frame.repeat_interleave(3, 0)]
    wanted = torch.nn.Conv2d.forward(layer, torch.cat(parts[::-1] if frame_first else parts, dim=1))
    wanted.square().sum().backward()
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    for grad, t in zip(grads, (x, frame, layer.weight, layer.bias), strict=True):
        torch.testing.assert_close(grad, t.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("frame_first", [False, True])
def test_weights_of_a_layer_that_knew_the_frame_alone(frame_first):
    layer = SplitConv2d(2, 3, 8, 7, 2, frame_first=frame_first)
    weight = torch.randn(8, 3, 7, 7)
    layer.load_frame_weight(weight)
    own = layer.weight[:, 3:] if frame_first else layer.weight[:, :2]
    assert torch.equal(layer.weight[:, :3] if frame_first else layer.weight[:, 2:], weight)
    rows = own.detach().flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(8), atol=1e-5, rtol=0)
