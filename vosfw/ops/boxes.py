"""Bounding boxes of masks, as masks."""

from jaxtyping import Bool, Shaped
from torch import Tensor


def filled_boxes(masks: Shaped[Tensor, "*b Y X"]) -> Bool[Tensor, "*b Y X"]:
    """True in the smallest box that holds all non-zero pixels of a map, its border included; empty maps stay empty."""
    inside = masks != 0
    return _span(inside.any(-1))[..., None] & _span(inside.any(-2))[..., None, :]


def _span(hit: Bool[Tensor, "*b N"]) -> Bool[Tensor, "*b N"]:
    """From the first place that is hit to the last."""
    begun = hit.cummax(-1).values
    return begun & hit.flip(-1).cummax(-1).values.flip(-1)
