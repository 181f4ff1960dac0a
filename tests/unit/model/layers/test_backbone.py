import pytest
import torch

from vosfw.errors import CheckpointError, ConfigError
from vosfw.model.layers.backbone import create_backbone


def test_maps_and_truncation():
    backbone = create_backbone("resnet18", (4, 8, 16), pretrained=False)
    maps = backbone(torch.zeros(1, 3, 32, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 8, 16), (128, 4, 8), (256, 2, 4)]
    assert not any("layer4" in name for name, _ in backbone.named_modules())


def test_unknown_names_list_the_nearest():
    with pytest.raises(ConfigError, match="resnet50"):
        create_backbone("resnet5O", (16,), pretrained=False)


def test_networks_without_the_stride():
    with pytest.raises(ConfigError, match="no feature maps at strides"):
        create_backbone("vit_tiny_patch16_224", (4, 8, 16), pretrained=False)


def test_unreachable_weights_name_the_cure(monkeypatch):
    import timm

    def unreachable(*args, pretrained=False, **options):
        if pretrained:
            raise OSError("we cannot reach the hub")
        return create(*args, **options)

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(CheckpointError, match=r"(?s)cannot reach the hub.*pretrained=false"):
        create_backbone("resnet18", (16,), pretrained=True)
