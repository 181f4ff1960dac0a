"""Atrous spatial pyramid pooling."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vosfw.model.layers.batch_norm import conv_norm


class ASPP(nn.Module):
    """A map seen at several dilations and as a whole (Chen et al., DeepLabv3+, ECCV 2018, section 3.1).

    Args:
        in_channels: Of the backbone's coarsest map.
        out_channels: Of every branch, and of the result.
        rates: Dilations of the 3x3 branches.
        dropout: Share of the result's values that are zeroed in training.
    """

    def __init__(
        self, in_channels: int, out_channels: int = 256, rates: Sequence[int] = (6, 12, 18), dropout: float | int = 0.1
    ) -> None:
        super().__init__()
        dilated = (conv_norm(in_channels, out_channels, 3, rate) for rate in rates)
        self.branches = nn.ModuleList([conv_norm(in_channels, out_channels), *dilated])
        self.pool = conv_norm(in_channels, out_channels)
        self.merge = conv_norm((len(self.branches) + 1) * out_channels, out_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D h w"]:
        """The merged branches, in the order 1x1, dilated, pooled."""
        # Bilinear enlargement of a single cell is that cell everywhere.
        pooled = self.pool(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        merged = self.merge(torch.cat([*(branch(x) for branch in self.branches), pooled], dim=1))
        dropped: Tensor = self.dropout(merged)
        return dropped
