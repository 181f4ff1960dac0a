"""What a predictor takes and gives."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from torch import Tensor

from vosfw.engine.confidence import Confidence, ExpectedOverlap
from vosfw.errors import DatasetError


@dataclass(frozen=True)
class Prediction:
    """The result for one frame."""

    index: int
    """Frame number, counted from the first frame of the session."""
    labels: Integer[np.ndarray, "Y X"]
    """The user's id of each pixel, 0 background; uint8 unless an id is above 255."""
    ids: tuple[int, ...]
    """Ids of the objects known at this frame."""
    scores: Float[Tensor, "O Y X"]
    """Class probabilities on the model's device; row 0 is the background."""
    mass: Float[Tensor, "K Y X"] | None = None
    """Affinity mass: how much of what a pixel read from memory belongs to the object, in 0..1; None if unknown."""
    given: frozenset[int] = frozenset()
    """Ids whose mask was handed over with the frame."""
    rule: Confidence = field(default_factory=ExpectedOverlap)
    """How ``confidence`` is told; the engine's."""

    @property
    def confidence(self) -> dict[int, float]:
        """Expected J of each object's mask by id, in 0..1: 1 for a mask that was handed over, 0 for an empty one.

        The rule is ``engine.confidence``. The embedded network's is calibrated; docs/models/embedded.md tells how well.
        """
        values = self.rule(self.scores, self.mass).tolist()
        return {id_: 1.0 if id_ in self.given else value for id_, value in zip(self.ids, values, strict=True)}

    @property
    def probs(self) -> dict[int, Float[np.ndarray, "Y X"]]:
        """Probability map of each object by id."""
        maps = self.scores.float().cpu().numpy()
        return {object_id: maps[slot + 1] for slot, object_id in enumerate(self.ids)}


def as_id_map(mask: Any) -> Integer[np.ndarray, "Y X"]:
    """A mask as a map of integer ids.

    Raises:
        DatasetError: If it is not two-dimensional, or neither bool nor integer.
    """
    array = np.asarray(mask)
    if array.ndim != 2:
        raise DatasetError(f"the mask has shape {array.shape}; wanted height x width, one id per pixel")
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if not np.issubdtype(array.dtype, np.integer):
        raise DatasetError(f"the mask has values of type {array.dtype}; wanted bool or whole numbers")
    return array
