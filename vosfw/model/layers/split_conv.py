"""Convolutions of what belongs to an object together with what all objects of a frame share."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def add_shared(x: Float[Tensor, "R C h w"], shared: Float[Tensor, "F C h w"]) -> Float[Tensor, "R C h w"]:
    """Add a map per frame to the maps of all its objects (``R`` = frames x objects), in place unless gradients flow."""
    rows = x.unflatten(0, (shared.shape[0], -1))
    if torch.is_grad_enabled():
        # The backward pass of a change through a view copies the whole gradient.
        added: Tensor = rows + shared[:, None]
        return added.flatten(0, 1)
    rows.add_(shared[:, None])
    return x


class SplitConv2d(nn.Conv2d):
    """A convolution over concatenated channels of an object and of its frame, without the concatenation.

    A convolution is linear, so the frame's part is computed once for all objects; weights and results (up to rounding)
    are those of the plain layer.

    Args:
        object_channels: Channels that each object has of its own.
        frame_channels: Channels that they share.
        out_channels: Channels of the result.
        kernel_size: Side of the kernel; padded to keep the size.
        stride: Step in cells.
        frame_first: Whether the frame's channels come first in the weight.
        bias: Whether there is one; it belongs to the frame's part.
    """

    def __init__(
        self,
        object_channels: int,
        frame_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        *,
        frame_first: bool = False,
        bias: bool = True,
    ) -> None:
        channels = object_channels + frame_channels
        super().__init__(channels, out_channels, kernel_size, stride, kernel_size // 2, bias=bias)
        first = frame_channels if frame_first else object_channels
        self.frame_first = frame_first
        self.sizes = (first, object_channels + frame_channels - first)

    def frame_half(self, frame: Float[Tensor, "F C h w"]) -> Float[Tensor, "F E y x"]:
        """The part that all objects share, bias included."""
        weight = self.weight.split(self.sizes, 1)[0 if self.frame_first else 1]
        return F.conv2d(frame, weight, self.bias, self.stride, self.padding)

    def forward(self, x: Float[Tensor, "R C h w"], half: Float[Tensor, "F E y x"]) -> Float[Tensor, "R E y x"]:  # type: ignore[override]
        """The whole result for ``R`` = frames x objects maps; ``half`` comes from ``frame_half``."""
        weight = self.weight.split(self.sizes, 1)[1 if self.frame_first else 0]
        return add_shared(F.conv2d(x, weight, None, self.stride, self.padding), half)

    @torch.no_grad()
    def load_frame_weight(self, weight: Float[Tensor, "E C y x"]) -> None:
        """Take over the weight of a layer that knew the frame alone; the object's part becomes orthogonal."""
        frame, own = self.weight.split(self.sizes, 1)[:: 1 if self.frame_first else -1]
        frame.copy_(weight)
        own.copy_(nn.init.orthogonal_(torch.empty(own.shape)))
