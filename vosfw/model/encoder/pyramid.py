"""A timm backbone whose coarse maps are merged into one of fine stride."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.interfaces import Encoder
from vosfw.model.layers.backbone import create_backbone, freeze_statistics, image_statistics
from vosfw.model.layers.normalize import Normalize


class PyramidEncoder(Encoder):
    """Matching needs fine cells that know their surroundings: coarser maps are added top down (FPN, Lin et al., 2017).

    Args:
        name: Any timm network that has feature maps at ``strides`` and ``context``.
        pretrained: Start from timm's ImageNet weights.
        frozen_bn: Batch norms keep their running statistics in training. Off for networks that learn from scratch.
        strides: Of the levels in pixels, coarse to fine.
        context: Coarser strides that are merged into the first level.
        width: Channels of the first level.
        options: Further arguments of timm's network, such as its ``channels`` or ``norm_layer``.

    Raises:
        ConfigError: If timm has no such network, the network no such strides, or they do not fall.
        CheckpointError: If the pretrained weights cannot be had.
    """

    def __init__(
        self,
        name: str = "resnet18",
        *,
        pretrained: bool = False,
        frozen_bn: bool = False,
        strides: Sequence[int] = (8, 4, 2),
        context: Sequence[int] = (16,),
        width: int = 128,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        wanted = (*context, *strides)
        if list(wanted) != sorted(set(wanted), reverse=True) or not strides:
            raise ConfigError(f"encoder.context and .strides are {wanted}; wanted strides that fall, such as 16, 8, 4")
        self.backbone = create_backbone(name, wanted[::-1], pretrained=pretrained, options=options)
        self.normalize = Normalize(*image_statistics(self.backbone))
        channels = tuple(reversed(self.backbone.feature_info.channels()))
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels[: len(context) + 1])
        self.merge = nn.Conv2d(width, width, 3, padding=1)
        self.frozen_bn = frozen_bn
        self.out_channels = (width, *channels[len(context) + 1 :])
        self.strides = tuple(strides)
        self.pad_color = self.normalize.mean_color

    def train(self, mode: bool = True) -> "PyramidEncoder":
        """Switch between training and evaluation; frozen batch norms stay in evaluation."""
        super().train(mode)
        if self.frozen_bn:
            freeze_statistics(self.backbone)
        return self

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B _C _h _w"], ...]:
        """The levels of RGB frames in 0..1, coarse to fine."""
        frames = self.normalize(frames).contiguous(memory_format=torch.channels_last)
        maps = self.backbone(frames)[::-1]
        merged, *laterals = (lateral(x) for lateral, x in zip(self.laterals, maps, strict=False))
        for finer in laterals:
            merged = finer + F.interpolate(merged, finer.shape[-2:], mode="bilinear", align_corners=False)
        return (self.merge(merged.relu()), *maps[len(self.laterals) :])
