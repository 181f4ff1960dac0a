"""PCVOS's progressive matching, for any memory."""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosfw.errors import ConfigError
from vosfw.interfaces import Memory


class ProgressiveMemory(Memory[Any]):
    """Progressive memory matching (PCVOS, Park et al., CVPR 2022, section 3.3): a clip is read segment by segment.

    The last frame of a segment, its read-out as its value, is remembered for the rest of the clip, so that frames far
    from memory are matched with one near by. What was remembered so is dropped with the clip. A clip of one segment is
    read as ever.

    Args:
        base: The memory.
        segment: Frames per segment (F); None reads a clip in one, as without progression.
        in_training: Also while training; the paper found that slightly worse.

    Raises:
        ConfigError: If ``segment`` is below 1.
    """

    def __init__(self, base: Memory[Any], segment: int | None = 5, in_training: bool = False) -> None:
        super().__init__()
        if segment is not None and segment < 1:
            raise ConfigError(f"memory.segment is {segment}; wanted a number of frames from 1, or null")
        self.base = base
        self.segment = segment
        self.in_training = in_training

    def empty(self, key: Float[Tensor, "B g Ck h w"], value: Float[Tensor, "B k Cv h w"]) -> Any:
        """See ``Memory.empty``."""
        return self.base.empty(key, value)

    def write(
        self,
        bank: Any,
        key: Float[Tensor, "B g Ck h w"],
        value: Float[Tensor, "B k Cv h w"],
        trusted: Bool[Tensor, "B h w"] | None = None,
        *,
        keep: bool,
    ) -> Any:
        """See ``Memory.write``."""
        return self.base.write(bank, key, value, trusted, keep=keep)

    def append(self, bank: Any, key: Float[Tensor, "B Ck h w"], value: Float[Tensor, "B k Cv h w"]) -> Any:
        """See ``Memory.append``."""
        return self.base.append(bank, key, value)

    def read(self, bank: Any, query: Float[Tensor, "B Ck T h w"]) -> Float[Tensor, "B k Cv T h w"]:
        """See ``Memory.read``."""
        length = None if self.training and not self.in_training else self.segment
        if length is None or query.shape[2] <= length:
            return self.base.read(bank, query)
        segments = query.split(length, dim=2)
        reads = [self.base.read(bank, segments[0])]
        for before, segment in pairwise(segments):
            bank = self.base.append(bank, before[:, :, -1], reads[-1][:, :, :, -1])
            reads.append(self.base.read(bank, segment))
        return torch.cat(reads, dim=3)
