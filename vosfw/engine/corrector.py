"""Corrects a mask before it is remembered (the seat of the cyclic mechanism's gradient correction)."""

from typing import Any, Protocol, runtime_checkable

from vosfw.interfaces import Segmenter
from vosfw.types import Features, ObjectMasks


@runtime_checkable
class Corrector(Protocol):
    """Improves a mask before it is remembered (the cyclic mechanism's gradient correction)."""

    publishes: bool
    """Whether the corrected mask is also the published one."""
    needs_reference: bool
    """Whether the engine must hold on to the latest given frame."""

    def due(self, t: int) -> bool:
        """Whether frame ``t`` is corrected; a schedule of its own, whatever memory keeps."""
        ...

    def __call__(
        self,
        segmenter: Segmenter[Any],
        features: Features,
        masks: ObjectMasks,
        reference_features: Features,
        reference_masks: ObjectMasks,
    ) -> ObjectMasks:
        """The masks of one frame, corrected by how well they explain the latest given frame."""
        ...


class NoCorrector:
    """Leave every mask as it is."""

    publishes = False
    needs_reference = False

    def due(self, t: int) -> bool:
        """Never."""
        return False

    def __call__(
        self,
        segmenter: Segmenter[Any],
        features: Features,
        masks: ObjectMasks,
        reference_features: Features,
        reference_masks: ObjectMasks,
    ) -> ObjectMasks:
        """The same masks."""
        return masks
