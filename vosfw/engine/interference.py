"""Damages masks on their way into memory, to study robustness."""

from typing import Protocol, runtime_checkable

from vosfw.types import ObjectMasks


@runtime_checkable
class Interference(Protocol):
    """Damages masks before they are remembered, to study robustness."""

    def __call__(self, t: int, masks: ObjectMasks) -> ObjectMasks:
        """The masks of frame ``t``, damaged."""
        ...


class NoInterference:
    """Damage nothing."""

    def __call__(self, t: int, masks: ObjectMasks) -> ObjectMasks:
        """The same masks."""
        return masks
