"""The reference pool: frames that were given, and patches of predicted ones."""

from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vosfw.errors import ConfigError
from vosfw.ops.proxies import ObjectSums

POLICIES = ("newest", "most_reliable")
SIMILARITY = ("all", "given")
TreeT = TypeVar("TreeT", bound=tuple[Any, ...])


class Reference(NamedTuple):
    """One frame of the pool."""

    index: Any
    """What the matcher prepared."""
    sums: ObjectSums
    reliability: Float[Tensor, "B"]
    """Share of its pixels that are trusted."""


class References(NamedTuple):
    """All frames of the pool."""

    given: tuple[Reference, ...]
    """Frames in which objects were given for the first time; they stay to the end."""
    predicted: tuple[Reference, ...]


class ReferencePool(nn.Module):
    """Which frames take part in matching and in the objects' descriptors (RPCM, section 3.3 and table 4).

    Which predicted frames come in is the engine's ``policy``, which of their pixels its ``reliability``.

    Args:
        max_frames: Most predicted frames; None (as released) for any number, 0 for none.
        policy: Which of them stay: the ``newest``, or the ``most_reliable``, by their share of trusted pixels.
        similarity: Frames for global matching: ``all`` ("W+S" of table 4), or ``given`` ("W": predicted frames count
            in the descriptors alone).

    Raises:
        ConfigError: If an option is out of range.
    """

    def __init__(self, max_frames: int | None = None, policy: str = "newest", similarity: str = "all") -> None:
        super().__init__()
        if max_frames is not None and max_frames < 0:
            raise ConfigError(f"pool.max_frames is {max_frames}; wanted a number of frames from 0, or null for any")
        if policy not in POLICIES:
            raise ConfigError(f"pool.policy is {policy!r}; wanted {' or '.join(POLICIES)}")
        if similarity not in SIMILARITY:
            raise ConfigError(f"pool.similarity is {similarity!r}; wanted {' or '.join(SIMILARITY)}")
        self.max_frames = max_frames
        self.policy = policy
        self.similarity = similarity

    def add(self, references: References, new: Reference, *, given: bool) -> References:
        """The pool with one more frame."""
        if given:
            return references._replace(given=(*references.given, new))
        predicted = (*references.predicted, new)
        if self.max_frames is not None and len(predicted) > self.max_frames:
            if self.policy == "newest" or not _alike(predicted):
                predicted = predicted[1:]
            else:
                predicted = _without_worst(predicted)
        return references._replace(predicted=predicted)

    def indices(self, references: References) -> list[Any]:
        """What the matcher compares with."""
        chosen = references.given + (references.predicted if self.similarity == "all" else ())
        return [reference.index for reference in chosen]

    def sums(self, references: References, like: ObjectSums) -> ObjectSums:
        """Sums over all frames, with as many objects as ``like``."""
        total = ObjectSums(*(torch.zeros_like(part) for part in like))
        for reference in (*references.given, *references.predicted):
            total = ObjectSums(*(_padded_sum(a, b) for a, b in zip(total, reference.sums, strict=True)))
        return total


def _padded_sum(total: Float[Tensor, "B ..."], part: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
    if total.ndim > 1 and part.shape[1] < total.shape[1]:
        part = torch.cat([part, total.new_zeros(part.shape[0], total.shape[1] - part.shape[1], *part.shape[2:])], 1)
    return total + part


def _without_worst(frames: tuple[Reference, ...]) -> tuple[Reference, ...]:
    """All but the least reliable frame, in their order; nothing is asked of the device."""
    worst = torch.stack([frame.reliability for frame in frames]).argmin(0)
    return tuple(_choose(worst <= i, frames[i + 1], frames[i]) for i in range(len(frames) - 1))


def _choose(first: Bool[Tensor, "B"], one: TreeT, other: TreeT) -> TreeT:
    parts = [
        _choose(first, a, b) if isinstance(a, tuple) else torch.where(first.view(-1, *[1] * (a.ndim - 1)), a, b)
        for a, b in zip(one, other, strict=True)
    ]
    return type(one)(*parts) if hasattr(one, "_fields") else type(one)(parts)


def _alike(frames: tuple[Reference, ...]) -> bool:
    """Whether all frames know as many objects; those from before an object joined give way first."""
    return len({frame.sums.area.shape[1] for frame in frames}) == 1
