"""Gated channel transformation, and the bottleneck that carries it."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.ops.chunks import in_chunks

EPSILON = 1e-5


class GCT(nn.Module):
    """Gain of each channel, from its norm and those of the others (Yang et al., CVPR 2020).

    ``e_c = alpha_c |x_c|``, ``gain_c = 1 + tanh(gamma_c e_c / rms(e) + beta_c)``.

    Args:
        channels: Of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def gains(self, energy: Float[Tensor, "n C"]) -> Float[Tensor, "n C"]:
        """Gains from the sum of squares of each channel, which may be had without the map itself."""
        scaled = (energy + EPSILON).sqrt() * self.alpha.flatten()
        norm = self.gamma.flatten() * (scaled.square().mean(1, keepdim=True) + EPSILON).rsqrt()
        gains: Tensor = 1 + torch.tanh(scaled * norm + self.beta.flatten())
        return gains

    def forward(self, x: Float[Tensor, "n C h w"]) -> Float[Tensor, "n C h w"]:
        """The map times its gains."""
        return x * self.gains(channel_energy(x))[:, :, None, None]


def channel_energy(x: Float[Tensor, "n C h w"]) -> Float[Tensor, "n C"]:
    """Sum of squares of each channel."""
    norm: Tensor = torch.linalg.vector_norm(x.flatten(2), dim=2)
    return norm.square()


class GatedBottleneck(nn.Module):
    """Bottleneck behind gains that are given and those of a GCT; both go into the 1x1 convolution's weights.

    GCT, 1x1, 3x3, 1x1 convolutions with group norms, and a shortcut from before the GCT (CFBI, section 3.5).

    Args:
        in_channels: Of the input.
        out_channels: Four times the width inside.
        stride: Of the 3x3 convolution; other than 1 it brings a convolution in the shortcut.
        dilation: Of the 3x3 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        width = out_channels // 4
        self.gct = GCT(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.norm1 = group_norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.norm2 = group_norm(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.norm3 = group_norm(out_channels)
        self.stride = stride
        plain = stride == 1 and in_channels == out_channels
        self.shortcut: nn.Sequential | None = None
        if not plain:
            conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, group_norm(out_channels))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Float[Tensor, "n C h w"], gains: Float[Tensor, "n C"]) -> Float[Tensor, "n E y x"]:
        """The block's output for the input times ``gains``.

        Args:
            x: A map per object.
            gains: Of a gate, per object and channel.
        """
        size = (-(-x.shape[2] // self.stride), -(-x.shape[3] // self.stride))
        return in_chunks(self._forward, self.conv3.out_channels, x, gains, size=size)

    def _forward(self, x: Float[Tensor, "n C h w"], gains: Float[Tensor, "n C"]) -> Float[Tensor, "n E y x"]:
        inner = gains * self.gct.gains(gains.square() * channel_energy(x))
        y = relu(self.norm1(scaled_pointwise(x, self.conv1.weight, inner)))
        y = relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        if self.shortcut is None:
            return relu(torch.addcmul(y, x, gains[:, :, None, None]))
        near = x[..., :: self.stride, :: self.stride]
        conv, norm = self.shortcut
        assert isinstance(conv, nn.Conv2d)
        return relu(y + norm(scaled_pointwise(near, conv.weight, gains)))


def scaled_pointwise(
    x: Float[Tensor, "n C h w"], weight: Float[Tensor, "E C 1 1"], gains: Float[Tensor, "n C"]
) -> Float[Tensor, "n E h w"]:
    """A 1x1 convolution of ``x`` times ``gains``; the gains scale the weights, so no map is copied."""
    scaled = weight.flatten(1) * gains[:, None]
    return (scaled.to(x.dtype) @ x.flatten(2)).reshape(*scaled.shape[:2], *x.shape[-2:])


def scale(x: Float[Tensor, "n C h w"], gains: Float[Tensor, "n C"]) -> Float[Tensor, "n C h w"]:
    """The map times its gains; in place where no gradient is wanted."""
    factor = gains[:, :, None, None]
    return x * factor if torch.is_grad_enabled() else x.mul_(factor)


def relu(x: Tensor) -> Tensor:
    """In place where no gradient is wanted."""
    return F.relu(x) if x.requires_grad else F.relu_(x)


def group_norm(channels: int) -> nn.GroupNorm:
    """32 groups, or as many of them as divide the channels."""
    return nn.GroupNorm(math.gcd(32, channels), channels)
