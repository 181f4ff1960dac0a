"""Atrous spatial pyramid pooling behind gated channel transformations."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.model.layers.gct import GCT, channel_energy, group_norm, relu, scaled_pointwise
from vosfw.ops.chunks import in_chunks


class HeadASPP(nn.Module):
    """A 1x1 and several dilated 3x3 branches and a pooled one, each half as wide as the result (CFBI, section 3.5).

    Args:
        in_channels: Of the input.
        out_channels: Of the result.
        rates: Dilations of the 3x3 branches.
    """

    def __init__(self, in_channels: int, out_channels: int = 256, rates: Sequence[int] = (6, 12, 18)) -> None:
        super().__init__()
        width = out_channels // 2
        self.gcts = nn.ModuleList(GCT(in_channels) for _ in range(1 + len(rates)))
        first = nn.Conv2d(in_channels, width, 1, bias=False)
        others = (nn.Conv2d(in_channels, width, 3, padding=rate, dilation=rate, bias=False) for rate in rates)
        self.convs = nn.ModuleList([first, *others])
        self.norms = nn.ModuleList(group_norm(width) for _ in self.convs)
        self.pool = nn.Conv2d(in_channels, width, 1, bias=False)
        joined = (2 + len(rates)) * width
        self.gct = GCT(joined)
        self.conv = nn.Conv2d(joined, out_channels, 1, bias=False)
        self.norm = group_norm(out_channels)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, x: Float[Tensor, "n C h w"], gains: Float[Tensor, "n C"]) -> Float[Tensor, "n E h w"]:
        """The pyramid of the input times ``gains``."""
        return in_chunks(self._forward, self.conv.out_channels, x, gains, size=(x.shape[2], x.shape[3]))

    def _forward(self, x: Float[Tensor, "n C h w"], gains: Float[Tensor, "n C"]) -> Float[Tensor, "n E h w"]:
        energy = gains.square() * channel_energy(x)
        branches = []
        for gct, conv, norm in zip(self.gcts, self.convs, self.norms, strict=True):
            assert isinstance(gct, GCT)
            inner = gains * gct.gains(energy)
            weight = conv.get_parameter("weight")
            if weight.shape[-1] == 1:
                y = scaled_pointwise(x, weight, inner)
            else:
                y = conv(x * inner[:, :, None, None])
            branches.append(relu(norm(y)))
        pooled = F.relu(self.pool(x.mean((2, 3), keepdim=True) * gains[:, :, None, None]))
        joined = torch.cat([*branches, pooled.expand(-1, -1, *x.shape[2:])], 1)
        every = self.gct.gains(channel_energy(joined))
        return relu(self.norm(scaled_pointwise(joined, self.conv.weight, every)))
