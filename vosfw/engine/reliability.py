"""Marks pixels of a kept mask that memory is not to trust."""

from typing import Protocol, runtime_checkable

from vosfw.types import ObjectMasks


@runtime_checkable
class Reliability(Protocol):
    """Marks pixels of a kept mask that are not to be trusted, by ``ObjectMasks.weight``."""

    def __call__(self, masks: ObjectMasks) -> ObjectMasks:
        """The masks with another weight."""
        ...


class NoReliability:
    """Trust every pixel."""

    def __call__(self, masks: ObjectMasks) -> ObjectMasks:
        """The same masks."""
        return masks
