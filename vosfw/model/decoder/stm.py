"""STM's refinement decoder."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.interfaces import Decoder
from vosfw.model.layers.res_block import ResBlock
from vosfw.model.layers.split_conv import SplitConv2d, add_shared


class Refine(nn.Module):
    """Brings an object's map to the size of a finer level of its frame, and joins them (STM, section 3.3)."""

    def __init__(self, skip_channels: int, width: int) -> None:
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_channels, width, 3, padding=1)
        self.skip_block = ResBlock(width, width)
        self.block = ResBlock(width, width)

    def skip(self, level: Float[Tensor, "F C y x"]) -> Float[Tensor, "F E y x"]:
        """The frame's part, once for all objects."""
        prepared: Tensor = self.skip_block(self.skip_conv(level))
        return prepared

    def forward(self, x: Float[Tensor, "R E h w"], skip: Float[Tensor, "F E y x"]) -> Float[Tensor, "R E y x"]:
        """The finer map of ``R`` = frames x objects maps."""
        x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
        finer: Tensor = self.block(add_shared(x, skip))
        return finer


class STMDecoder(Decoder):
    """Read-out and the frame's value, joined and refined upwards with two skips (STM, Oh et al., ICCV 2019).

    What does not depend on the object is computed once per frame: the skips, and the frame's half of the first
    convolution.

    Args:
        value_channels: Channels of the read-out.
        skip_channels: Channels of the frame's maps, coarse to fine; the first has the read-out's size.
        width: Channels of all maps in between.
        object_chunk: Most objects decoded at once; None for all.

    Raises:
        ConfigError: If ``object_chunk`` is below 1.
    """

    def __init__(
        self,
        value_channels: int,
        skip_channels: Sequence[int],
        width: int = 256,
        object_chunk: int | None = None,
    ) -> None:
        super().__init__()
        if object_chunk is not None and object_chunk < 1:
            raise ConfigError(f"decoder.object_chunk is {object_chunk}; wanted a number from 1, or null for all")
        self.conv = SplitConv2d(value_channels, skip_channels[0], width)
        self.block = ResBlock(width, width)
        self.refines = nn.ModuleList(Refine(skip, width) for skip in skip_channels[1:])
        # Background and object, as published; their softmax is the sigmoid of the difference.
        self.pred = nn.Conv2d(width, 2, 3, padding=1)
        self.object_chunk = object_chunk

    def prepare(self, skips: tuple[Float[Tensor, "B T _C _h _w"], ...]) -> tuple[Float[Tensor, "F _E _y _x"], ...]:
        """See ``Decoder.prepare``."""
        first, *finer = (skip.flatten(0, 1).contiguous(memory_format=torch.channels_last) for skip in skips)
        refines = cast(Sequence[Refine], self.refines)
        return self.conv.frame_half(first), *(r.skip(level) for r, level in zip(refines, finer, strict=True))

    def forward(
        self, value: Float[Tensor, "B K Cv T h w"], prepared: tuple[Float[Tensor, "F _E _y _x"], ...]
    ) -> Float[Tensor, "B T K y x"]:
        """Logits per object at the finest level's size, before aggregation."""
        batch, objects, _, frames = value.shape[:4]
        half, *skips = prepared
        refines = cast(Sequence[Refine], self.refines)
        weight, bias = self.pred.weight.diff(dim=0), cast(Tensor, self.pred.bias).diff()
        logits = []
        for chunk in value.split(self.object_chunk or max(objects, 1), dim=1):
            rows = chunk.permute(0, 3, 1, 4, 5, 2).flatten(0, 2).contiguous().permute(0, 3, 1, 2)
            x: Tensor = self.block(self.conv(rows, half))
            for refine, skip in zip(refines, skips, strict=True):
                x = refine(x, skip)
            x = F.conv2d(x.relu_(), weight, bias, padding=1)
            logits.append(x.unflatten(0, (batch, frames, -1))[:, :, :, 0])
        return logits[0] if len(logits) == 1 else torch.cat(logits, dim=2)
