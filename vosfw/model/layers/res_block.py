"""The pre-activation residual blocks of STM and STCN."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.model.layers.split_conv import SplitConv2d


class FrameHalf(NamedTuple):
    """What a ``SplitResBlock`` computes of a frame once for all its objects."""

    conv: Float[Tensor, "F E h w"]
    shortcut: Float[Tensor, "F E h w"]


class ResBlock(nn.Module):
    """``s(x) + conv2(relu(conv1(relu(x))))`` without normalisation; ``s`` is a 3x3 convolution if widths differ."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.shortcut: nn.Module = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "R C h w"]) -> Float[Tensor, "R E h w"]:
        """The block's output, of the same size."""
        x = self.conv2(self.conv1(x.relu()).relu_()).add_(self.shortcut(x))
        return x


class SplitResBlock(nn.Module):
    """The same block on concatenated channels of an object and its frame, with the frame's part computed once."""

    def __init__(self, object_channels: int, frame_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = SplitConv2d(object_channels, frame_channels, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = SplitConv2d(object_channels, frame_channels, out_channels)

    def frame_half(self, frame: Float[Tensor, "F C h w"]) -> FrameHalf:
        """The frame's part."""
        return FrameHalf(self.conv1.frame_half(F.relu(frame)), self.shortcut.frame_half(frame))

    def forward(self, x: Float[Tensor, "R C h w"], half: FrameHalf) -> Float[Tensor, "R E h w"]:
        """The block's output for ``R`` = frames x objects maps."""
        x = self.conv2(self.conv1(x.relu(), half.conv).relu_()).add_(self.shortcut(x, half.shortcut))
        return x
