"""What a predictor takes and gives."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

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

    @property
    def confidence(self) -> dict[int, float]:
        """Expected J of each object's mask by id, in 0..1, if the probabilities are right; 0 for an empty mask.

        With the mask ``M`` and the object's probabilities ``p``: ``sum_M p / (|M| + sum_notM p)``, the ratio of the
        expected intersection to the expected union. How well it tells J is measured in docs/models/embedded.md.
        """
        probs = self.scores[1:].float()
        own = self.scores.max(0).indices == torch.arange(1, len(self.scores), device=probs.device)[:, None, None]
        inside = (probs * own).flatten(1).sum(1)
        union = own.flatten(1).sum(1) + (probs * ~own).flatten(1).sum(1)
        values = (inside / union.clamp_min(1e-6)).tolist()
        return dict(zip(self.ids, values, strict=True))

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
