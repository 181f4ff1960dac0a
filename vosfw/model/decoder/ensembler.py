"""Decoder of the CFBI family."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.interfaces import Gate, ObjectDecoder
from vosfw.model.layers.gct import GCT, channel_energy, group_norm, relu, scale
from vosfw.ops.chunks import in_chunks


class EnsemblerDecoder(ObjectDecoder):
    """Upsampling, two gated convolutions, and logits by weights made from the object's descriptor (CFBI, as released).

    The background's logit also gets the least of what all objects say against themselves.

    Args:
        in_channels: Of the coarse map.
        skip_channels: Of the fine map of each object.
        low_channels: Of the fine map that all objects share.
        head_dim: Width of an object's descriptor.
        gate: Factory of gates, called with ``channels`` and ``head_dim``.
        width: Channels of the convolutions.
        skip_width: Channels to which both fine maps are brought.
        calibration: Factory of both gates, in place of ``gate`` (AOC-Net).
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        low_channels: int,
        head_dim: int,
        gate: Callable[..., Gate],
        width: int = 128,
        skip_width: int = 64,
        calibration: Callable[..., Gate] | None = None,
    ) -> None:
        super().__init__()
        gate = calibration or gate
        self.skip_gct = GCT(low_channels + skip_channels)
        self.skip_conv = nn.Conv2d(low_channels + skip_channels, skip_width, 1, bias=False)
        self.skip_norm = nn.GroupNorm(math.gcd(16, skip_width), skip_width)
        self.gate1 = gate(channels=in_channels + skip_width, head_dim=head_dim)
        self.conv1 = nn.Conv2d(in_channels + skip_width, width, 3, padding=1, bias=False)
        self.norm1 = group_norm(width)
        self.gate2 = gate(channels=width, head_dim=head_dim)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = group_norm(width)
        self.own = nn.Linear(head_dim, width + 1)
        self.against = nn.Linear(head_dim, width + 1)
        for conv in (self.skip_conv, self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(
        self,
        x: Float[Tensor, "B O C y x"],
        fine: Float[Tensor, "B O F h w"],
        head: Float[Tensor, "B O D"],
        valid: Bool[Tensor, "B O"],
    ) -> Float[Tensor, "B O h w"]:
        """See ``ObjectDecoder``."""
        return self.classify(self.fuse(x, fine, head, valid), head, valid)

    def fuse(
        self,
        x: Float[Tensor, "B O C y x"],
        fine: Float[Tensor, "B O F h w"],
        head: Float[Tensor, "B O D"],
        valid: Bool[Tensor, "B O"],
    ) -> Float[Tensor, "B O E h w"]:
        """The last map of each object."""
        shape, size, width = x.shape[:2], (fine.shape[3], fine.shape[4]), self.conv1.out_channels
        y = in_chunks(_joined, self.conv1.in_channels, x.flatten(0, 1), fine.flatten(0, 1), size=size)
        gains = self.gate1(y.unflatten(0, shape), head, valid).flatten(0, 1)
        y = in_chunks(lambda y, g: relu(self.norm1(self.conv1(scale(y, g)))), width, y, gains, size=size, over=y)
        gains = self.gate2(y.unflatten(0, shape), head, valid).flatten(0, 1)
        y = in_chunks(lambda y, g: relu(self.norm2(self.conv2(scale(y, g)))), width, y, gains, size=size, over=y)
        return y.reshape(*shape, -1, *size)

    def classify(
        self, y: Float[Tensor, "B O E h w"], head: Float[Tensor, "B O D"], valid: Bool[Tensor, "B O"]
    ) -> Float[Tensor, "B O h w"]:
        """Logits of the last maps, by a 1x1 convolution of each object's own."""
        weights = torch.stack([self.own(head), self.against(head)], 2)
        logits = (weights[..., :-1] @ y.flatten(3) + weights[..., -1:]).unflatten(3, y.shape[-2:])
        return _with_background(logits[:, :, 0], logits[:, :, 1], valid)

    def merge(
        self, skip: Float[Tensor, "B O S h w"], low_level: Float[Tensor, "B L h w"]
    ) -> Float[Tensor, "B O F h w"]:
        """See ``ObjectDecoder.merge``; the shared map is not copied per object."""
        shape, size = skip.shape[:2], skip.shape[-2:]
        shared = channel_energy(low_level)[:, None].expand(-1, shape[1], -1)
        energy = torch.cat([shared, channel_energy(skip.flatten(0, 1)).unflatten(0, shape)], 2)
        gains = self.skip_gct.gains(energy.flatten(0, 1)).unflatten(0, shape)
        weight = (self.skip_conv.weight.flatten(1) * gains[:, :, None]).to(skip.dtype)
        split = low_level.shape[1]
        shared = (weight[..., :split].flatten(1, 2) @ low_level.flatten(2)).unflatten(1, (shape[1], -1))
        both = torch.baddbmm(shared.flatten(0, 1), weight[..., split:].flatten(0, 1), skip.flatten(0, 1).flatten(2))
        return relu(self.skip_norm(both.unflatten(2, size))).reshape(*shape, -1, *size)


def _joined(x: Float[Tensor, "n C y x"], fine: Float[Tensor, "n E h w"]) -> Float[Tensor, "n D h w"]:
    wide = F.interpolate(x, fine.shape[-2:], mode="bicubic", align_corners=True)
    return torch.cat([wide, fine], 1)


def _with_background(
    own: Float[Tensor, "B O h w"], against: Float[Tensor, "B O h w"], valid: Bool[Tensor, "B O"]
) -> Float[Tensor, "B O h w"]:
    """Logits of all classes; unused slots say nothing about the background."""
    if own.shape[1] == 1:
        return own
    used = valid[:, 1:, None, None]
    least = torch.where(used, against[:, 1:], torch.inf).amin(1, keepdim=True)
    background = own[:, :1] + torch.where(used.any(1, keepdim=True), least, 0.0)
    return torch.cat([background, own[:, 1:]], 1)
