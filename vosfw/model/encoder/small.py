"""A small image encoder that learns from scratch."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vosfw.errors import ConfigError
from vosfw.interfaces import Encoder
from vosfw.model.layers.conv_stage import GROUPS, conv_stage
from vosfw.model.layers.normalize import Normalize


class SmallEncoder(Encoder):
    """Plain convolutions with group norm, for demonstrations and tests: no pretrained weights, minutes on a CPU.

    Args:
        widths: Channels at strides 2, 4, 8 and so on; multiples of 8. The levels are those from stride 4.
        depth: Convolutions per stride from 4 on.

    Raises:
        ConfigError: If the widths do not fit.
    """

    def __init__(self, widths: Sequence[int] = (16, 48, 64), depth: int = 2) -> None:
        super().__init__()
        if len(widths) < 2 or any(width % GROUPS for width in widths):
            raise ConfigError(f"encoder.widths is {list(widths)}; wanted two or more multiples of {GROUPS}")
        self.normalize = Normalize()
        self.stem = conv_stage(3, widths[0])
        self.stages = nn.ModuleList(conv_stage(a, b, depth) for a, b in pairwise(widths))
        self.out_channels = tuple(reversed(widths))[:-1]
        self.strides = tuple(2 ** (i + 1) for i in reversed(range(1, len(widths))))
        self.pad_color = self.normalize.mean_color

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B _C _h _w"], ...]:
        """The levels of RGB frames in 0..1, coarse to fine."""
        x = self.stem(self.normalize(frames).contiguous(memory_format=torch.channels_last))
        levels: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            levels.insert(0, x)
        return tuple(levels)
