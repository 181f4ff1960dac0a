import torch

from vosfw.model.layers.cbam import CBAM


def test_gates_by_hand():
    """With zero weights both gates are the sigmoids of their biases."""
    layer = CBAM(4, reduction=2)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    layer.channel_gate[2].bias.data.fill_(1.0)
    layer.spatial_gate.bias.data.fill_(-0.5)
    x = torch.randn(2, 4, 3, 5)
    gain = torch.tensor(2.0).sigmoid() * torch.tensor(-0.5).sigmoid()
    torch.testing.assert_close(layer(x), x * gain)


def test_the_spatial_gate_sees_maximum_then_mean():
    layer = CBAM(4, reduction=2, kernel_size=1)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    layer.spatial_gate.weight.data[0, 0] = 1.0
    x = torch.randn(1, 4, 3, 5)
    torch.testing.assert_close(layer(x), 0.5 * x * (0.5 * x).amax(1, keepdim=True).sigmoid())
