"""A timm backbone whose coarse maps are merged into one of fine stride."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.model.encoder.resnet import ResNetEncoder


class PyramidEncoder(ResNetEncoder):
    """Matching needs fine cells that know their surroundings: coarser maps are added top down (FPN, Lin et al., 2017).

    Args:
        name: See ``ResNetEncoder``.
        pretrained: See ``ResNetEncoder``.
        frozen_bn: Batch norms keep their running statistics in training. Off for networks that learn from scratch.
        strides: Of the levels in pixels, coarse to fine.
        context: Coarser strides that are merged into the first level.
        width: Channels of the first level.
        options: See ``ResNetEncoder``.

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
        wanted = (*context, *strides)
        if list(wanted) != sorted(set(wanted), reverse=True) or not strides:
            raise ConfigError(f"encoder.context and .strides are {wanted}; wanted strides that fall, such as 16, 8, 4")
        super().__init__(name, pretrained=pretrained, frozen_bn=frozen_bn, strides=wanted, options=options)
        merged = len(context) + 1
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in self.out_channels[:merged])
        self.merge = nn.Conv2d(width, width, 3, padding=1)
        self.out_channels = (width, *self.out_channels[merged:])
        self.strides = tuple(strides)

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B _C _h _w"], ...]:
        """The levels of RGB frames in 0..1, coarse to fine."""
        maps = super().forward(frames)
        merged, *laterals = (lateral(x) for lateral, x in zip(self.laterals, maps, strict=False))
        for finer in laterals:
            merged = finer + F.interpolate(merged, finer.shape[-2:], mode="bilinear", align_corners=False)
        return (self.merge(merged.relu()), *maps[len(self.laterals) :])
