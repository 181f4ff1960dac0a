import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.model.layers.trunk import ResNetTrunk, SmallTrunk


@pytest.mark.parametrize("trunk", [ResNetTrunk, SmallTrunk])
def test_shape(trunk):
    network = trunk(mask_channels=2)
    half = network.frame_half(torch.rand(2, 3, 64, 48))
    features = network(torch.rand(6, 2, 64, 48), half)
    assert features.shape == (6, network.out_channels, 4, 3)


def test_every_convolution_has_a_bias_and_norms_stay_frozen():
    trunk = ResNetTrunk(mask_channels=2).train()
    assert all(layer.bias is not None for layer in trunk.modules() if isinstance(layer, torch.nn.Conv2d))
    before = trunk.body.bn1.running_mean.clone()
    trunk(torch.rand(1, 2, 32, 32), trunk.frame_half(torch.rand(1, 3, 32, 32)))
    assert torch.equal(trunk.body.bn1.running_mean, before)
    assert trunk.body.bn1.weight.requires_grad
    plain = ResNetTrunk(mask_channels=2, conv_bias=False)
    assert plain.body.layer1[0].conv1.bias is None


def test_other_stems_are_refused():
    with pytest.raises(ConfigError, match="7x7 stem"):
        ResNetTrunk(mask_channels=2, name="resnet26d")


def test_fewer_widths_end_at_a_finer_stride():
    network = SmallTrunk(mask_channels=2, widths=(16, 32, 48))
    half = network.frame_half(torch.rand(1, 3, 64, 48))
    assert network(torch.rand(1, 2, 64, 48), half).shape == (1, 48, 8, 6)


@pytest.mark.parametrize("widths", [(16,), (16, 16, 16, 16, 16)])
def test_widths_are_checked(widths):
    with pytest.raises(ConfigError, match="two to four"):
        SmallTrunk(mask_channels=2, widths=widths)
