"""The refinement decoder of STM's family in STCN's form."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.interfaces import Decoder
from vosfw.model.layers.res_block import FrameHalf, ResBlock, SplitResBlock
from vosfw.model.layers.split_conv import add_shared


class UpBlock(nn.Module):
    """Brings an object's map to the size of a finer level of its frame, and joins them."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_channels, in_channels, 3, padding=1)
        self.block = ResBlock(in_channels, out_channels)

    def forward(self, x: Float[Tensor, "R C h w"], skip: Float[Tensor, "F C y x"]) -> Float[Tensor, "R E y x"]:
        """The finer map of ``R`` = frames x objects maps; ``skip`` is ``skip_conv`` of the level, once per frame."""
        x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
        finer: Tensor = self.block(add_shared(x, skip))
        return finer


class RefineDecoder(Decoder):
    """Read-out and frame features, joined at the coarsest level and refined upwards with two skips (STCN, fig. 3).

    What does not depend on the object is computed once per frame: the skip convolutions, and the frame's half of the
    first block.

    Args:
        value_channels: Channels of the read-out.
        skip_channels: Channels of the frame's maps, coarse to fine; the first has the read-out's size.
        widths: Channels behind each block, coarse to fine.
        object_chunk: Most objects decoded at once; fewer save memory, and time on a CPU, where small maps stay in the
            caches. None for all.

    Raises:
        ConfigError: If there are not as many widths as maps, or ``object_chunk`` is below 1.
    """

    def __init__(
        self,
        value_channels: int,
        skip_channels: Sequence[int],
        widths: Sequence[int] = (512, 256, 256),
        object_chunk: int | None = None,
    ) -> None:
        super().__init__()
        if len(widths) != len(skip_channels):
            raise ConfigError(f"decoder.widths is {list(widths)}; wanted {len(skip_channels)}, one for each level")
        if object_chunk is not None and object_chunk < 1:
            raise ConfigError(f"decoder.object_chunk is {object_chunk}; wanted a number from 1, or null for all")
        self.compress = SplitResBlock(value_channels, skip_channels[0], widths[0])
        self.ups = nn.ModuleList(
            UpBlock(a, skip, b) for (a, b), skip in zip(pairwise(widths), skip_channels[1:], strict=True)
        )
        self.pred = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.object_chunk = object_chunk

    def prepare(self, skips: tuple[Float[Tensor, "B T _C _h _w"], ...]) -> tuple[Float[Tensor, "F _E _y _x"], ...]:
        """See ``Decoder.prepare``."""
        first, *finer = (skip.flatten(0, 1).contiguous(memory_format=torch.channels_last) for skip in skips)
        ups = cast(Sequence[UpBlock], self.ups)
        return *self.compress.frame_half(first), *(u.skip_conv(skip) for u, skip in zip(ups, finer, strict=True))

    def forward(
        self, value: Float[Tensor, "B K Cv T h w"], prepared: tuple[Float[Tensor, "F _E _y _x"], ...]
    ) -> Float[Tensor, "B T K y x"]:
        """Logits per object at the finest level's size, before aggregation."""
        batch, objects, _, frames = value.shape[:4]
        half, levels = FrameHalf(*prepared[:2]), prepared[2:]
        ups = cast(Sequence[UpBlock], self.ups)
        logits = []
        for chunk in value.split(self.object_chunk or max(objects, 1), dim=1):
            rows = chunk.permute(0, 3, 1, 4, 5, 2).flatten(0, 2).contiguous().permute(0, 3, 1, 2)
            x = self.compress(rows, half)
            for up, level in zip(ups, levels, strict=True):
                x = up(x, level)
            logits.append(self.pred(x.relu_()).unflatten(0, (batch, frames, -1))[:, :, :, 0])
        return logits[0] if len(logits) == 1 else torch.cat(logits, dim=2)
