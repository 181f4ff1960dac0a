"""Image backbones from timm, with errors that say what to do."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import timm
import torch
from torch import nn

from vosfw.errors import CheckpointError, ConfigError


def create_backbone(
    name: str, strides: Iterable[int], *, pretrained: bool, options: Mapping[str, Any] | None = None
) -> Any:
    """A timm network that returns its last feature maps at ``strides``, cut off behind the coarsest.

    Args:
        name: As timm spells it.
        strides: In pixels, fine to coarse.
        pretrained: Load timm's ImageNet weights.
        options: Further arguments of timm's network, such as its ``channels`` or ``norm_layer``.

    Raises:
        ConfigError: If timm knows no such network, or it lacks a stride.
        CheckpointError: If the weights cannot be had.
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3) or ["resnet50"]
        raise ConfigError(f"timm has no network {name!r}; did you mean {' or '.join(near)}?")
    options = dict(options or {})
    try:
        with torch.device("meta"):
            known = list(timm.create_model(name, features_only=True, **options).feature_info.reduction())
        levels = tuple(len(known) - 1 - known[::-1].index(stride) for stride in strides)
    except (RuntimeError, AttributeError, ValueError, TypeError) as error:
        said = f"{name} with the options {options}" if options else name
        raise ConfigError(f"{said} has no feature maps at strides {tuple(strides)}: {error}; try resnet50") from error
    try:
        backbone = timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=levels, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"cannot load the ImageNet weights of {name}: {error}\nCheck the connection, copy timm's cache from a "
            "machine that has one (~/.cache/huggingface/hub), or set pretrained=false."
        ) from error
    if not pretrained:
        _open_branches(backbone)
    return backbone


def freeze_statistics(module: nn.Module) -> None:
    """Let batch norms use their running statistics, also in training; their affine parameters still learn."""
    for layer in module.modules():
        # SyncBatchNorm, which Lightning puts in on several GPUs, is a sibling of BatchNorm2d.
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()


def set_dilations(backbone: nn.Module, rates: Sequence[int]) -> None:
    """Dilate the spatial convolutions of the stages that timm dilates for an output stride, block by block.

    timm gives the first block of such a stage no dilation and the others the same.

    Args:
        backbone: A timm network with an ``output_stride``.
        rates: Of the first, second, ... block of a stage; the last one for further blocks.

    Raises:
        ConfigError: If the network has no dilated stage.
    """
    stages = [
        stage
        for stage in backbone.modules()
        if isinstance(stage, nn.Sequential)
        and not any(isinstance(block, nn.Sequential) for block in stage)
        and any(conv.dilation != (1, 1) for conv in _spatial(stage))
    ]
    if not stages:
        raise ConfigError("the encoder's backbone has no stage that can be dilated; try resnet101")
    for stage in stages:
        for i, block in enumerate(stage):
            rate = rates[min(i, len(rates) - 1)]
            for conv in _spatial(block):
                conv.dilation = (rate, rate)
                conv.padding = tuple(rate * (side // 2) for side in conv.kernel_size)


def image_statistics(backbone: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of RGB in 0..1 that a timm network expects."""
    config: Any = backbone.pretrained_cfg
    return tuple(config["mean"]), tuple(config["std"])


def _spatial(module: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1]


def _open_branches(backbone: nn.Module) -> None:
    """Undo timm's zero initialisation of a branch's last norm: behind frozen statistics the branch would not learn."""
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d) and not layer.weight.is_meta and not layer.weight.any():
            nn.init.ones_(layer.weight)
