"""Convolutional block attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class CBAM(nn.Module):
    """A channel gate, then a spatial gate (Woo et al., ECCV 2018, sections 3.1 and 3.2), as STCN has them.

    Args:
        channels: Of the map.
        reduction: Factor by which the channel gate's hidden layer is narrower.
        kernel_size: Of the spatial gate; no normalisation follows it.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.channel_gate = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.spatial_gate = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Float[Tensor, "R C h w"]) -> Float[Tensor, "R C h w"]:
        """The map, weighted by channel and by cell."""
        gain = self.channel_gate(x.mean((2, 3))) + self.channel_gate(x.amax((2, 3)))
        x = x * gain.sigmoid()[:, :, None, None]
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], dim=1)
        gated: Tensor = x * self.spatial_gate(pooled).sigmoid()
        return gated
