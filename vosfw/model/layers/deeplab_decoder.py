"""The decoder of DeepLabv3+."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.model.layers.batch_norm import conv_norm


class DeepLabDecoder(nn.Module):
    """A coarse map, sharpened by a fine one (Chen et al., DeepLabv3+, ECCV 2018, section 3.1); no classifier.

    Args:
        low_channels: Of the fine map.
        channels: Of the coarse map, and of the result.
        low_width: To which the fine map is reduced.
    """

    def __init__(self, low_channels: int, channels: int = 256, low_width: int = 48) -> None:
        super().__init__()
        self.low = conv_norm(low_channels, low_width)
        self.fuse = nn.Sequential(conv_norm(channels + low_width, channels, 3), conv_norm(channels, channels, 3))

    def forward(self, x: Float[Tensor, "B C h w"], low: Float[Tensor, "B L y x"]) -> Float[Tensor, "B C y x"]:
        """The result at the size of the fine map ``low``."""
        x = F.interpolate(x, low.shape[-2:], mode="bilinear", align_corners=True)
        fused: Tensor = self.fuse(torch.cat([x, self.low(low)], dim=1))
        return fused
