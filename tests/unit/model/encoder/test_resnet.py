import torch

from vosfw.model.encoder.resnet import ResNetEncoder


def test_levels_and_colour():
    encoder = ResNetEncoder("resnet18").eval()
    levels = encoder(torch.rand(2, 3, 32, 64))
    assert [tuple(level.shape) for level in levels] == [(2, 256, 2, 4), (2, 128, 4, 8), (2, 64, 8, 16)]
    assert encoder.out_channels == (256, 128, 64)
    assert encoder.strides == (16, 8, 4)
    color = torch.tensor(encoder.pad_color)[None, :, None, None].expand(1, 3, 32, 32)
    assert (encoder.normalize(color) == 0).all()


def test_other_backbones():
    encoder = ResNetEncoder("mobilenetv3_small_050")
    levels = encoder(torch.rand(1, 3, 32, 64))
    assert tuple(level.shape[1] for level in levels) == encoder.out_channels
    assert [32 // level.shape[2] for level in levels] == [16, 8, 4]


def test_frozen_statistics():
    frames = torch.rand(2, 3, 32, 32)
    for frozen in (True, False):
        encoder = ResNetEncoder("resnet18", frozen_bn=frozen).train()
        before = encoder.backbone.bn1.running_mean.clone()
        encoder(frames)[0].sum().backward()
        assert torch.equal(encoder.backbone.bn1.running_mean, before) == frozen
        assert encoder.backbone.bn1.weight.grad is not None
        assert encoder.eval().backbone.bn1.training is False
