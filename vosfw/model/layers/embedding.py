"""The head that turns features into embeddings for matching."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError

IN_GROUP, OUT_GROUP = 8, 4
"""Channels per group of the norms: 32 groups of the published 256 channels, 25 of the 100."""


class EmbeddingHead(nn.Module):
    """Per-cell embeddings, compared by squared distance (Yang et al., CFBI, ECCV 2020, section 3.1).

    Args:
        in_channels: Of the feature; a multiple of 8.
        out_channels: Of the embedding; a multiple of 4.

    Raises:
        ConfigError: If a width is no such multiple.
    """

    def __init__(self, in_channels: int, out_channels: int = 100) -> None:
        super().__init__()
        for name, channels, group in (("in", in_channels, IN_GROUP), ("out", out_channels, OUT_GROUP)):
            if channels < 1 or channels % group:
                raise ConfigError(f"embedding.{name}_channels is {channels}; wanted a multiple of {group}")
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels)
        self.depthwise_norm = nn.GroupNorm(in_channels // IN_GROUP, in_channels)
        self.project = nn.Conv2d(in_channels, out_channels, 1)
        self.project_norm = nn.GroupNorm(out_channels // OUT_GROUP, out_channels)
        for conv in (self.depthwise, self.project):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out")

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D h w"]:
        """Embeddings from 0 up."""
        x = F.relu(self.depthwise_norm(self.depthwise(x)))
        return F.relu(self.project_norm(self.project(x)))
