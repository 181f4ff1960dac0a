"""Multi-scale image encoder on a timm backbone."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vosfw.interfaces import Encoder
from vosfw.model.layers.backbone import create_backbone, freeze_statistics, image_statistics
from vosfw.model.layers.normalize import Normalize


class ResNetEncoder(Encoder):
    """Feature maps of an image classifier, cut off behind the coarsest (STCN: ResNet-50 without its last stage).

    Args:
        name: Any timm network that has feature maps at ``strides``; ResNets are what the papers use.
        pretrained: Start from timm's ImageNet weights.
        frozen_bn: Batch norms keep their running statistics in training (their affine parameters learn). Leave it on:
            batches of video frames are small and alike.
        strides: Of the levels in pixels, coarse to fine.
        options: Further arguments of timm's network, such as its ``channels`` or ``norm_layer``.

    Raises:
        ConfigError: If timm has no such network, or the network no such strides.
        CheckpointError: If the pretrained weights cannot be had.
    """

    def __init__(
        self,
        name: str = "resnet50",
        *,
        pretrained: bool = False,
        frozen_bn: bool = True,
        strides: Sequence[int] = (16, 8, 4),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = create_backbone(name, tuple(reversed(strides)), pretrained=pretrained, options=options)
        self.normalize = Normalize(*image_statistics(self.backbone))
        self.frozen_bn = frozen_bn
        self.out_channels = tuple(reversed(self.backbone.feature_info.channels()))
        self.strides = tuple(strides)
        self.pad_color = self.normalize.mean_color

    def train(self, mode: bool = True) -> "ResNetEncoder":
        """Switch between training and evaluation; frozen batch norms stay in evaluation."""
        super().train(mode)
        if self.frozen_bn:
            freeze_statistics(self.backbone)
        return self

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B _C _h _w"], ...]:
        """The levels of RGB frames in 0..1, coarse to fine."""
        frames = self.normalize(frames).contiguous(memory_format=torch.channels_last)
        return tuple(self.backbone(frames)[::-1])
