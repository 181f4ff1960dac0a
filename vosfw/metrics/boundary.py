"""F, the boundary accuracy."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float64, Integer
from torch import Tensor

from vosfw.errors import ConfigError
from vosfw.metrics.counts import Counts, count


def boundary_f(
    pred: Integer[Tensor, "F Y X"],
    truth: Integer[Tensor, "F Y X"],
    slots: int,
    void: Bool[Tensor, "F Y X"] | None = None,
    bound_th: float = 0.008,
) -> Float64[Tensor, "F K"]:
    """Harmonic mean of the precision and recall of each object's boundary.

    Perazzi et al., CVPR 2016, section 5, as in the official DAVIS 2017 toolkit: a boundary pixel is matched if it lies
    within a disk of the other boundary; 1 where neither side has a boundary, 0 where one has none.

    Args:
        pred: Predicted slot + 1, 0 background.
        truth: The same; VOID pixels are background on both sides.
        slots: Number of objects ``K``.
        void: Further pixels to make background.
        bound_th: See ``boundary_radius``.

    Returns:
        In 0..1, on the device of ``pred``.

    Raises:
        ConfigError: If ``slots`` or ``bound_th`` is out of range.
        DatasetError: If the sizes differ.
    """
    return torch.as_tensor(harmonic(count(pred, truth, slots, void, boundary_radius(pred.shape[1:], bound_th))))


def boundary_radius(size: tuple[int, ...], bound_th: float = 0.008) -> float:
    """How far apart matching boundary pixels may lie, in pixels.

    Args:
        size: Height and width of the frame.
        bound_th: Below 1 a share of the frame's diagonal, rounded up to whole pixels; from 1 on pixels.

    Raises:
        ConfigError: If ``bound_th`` is not positive and finite.
    """
    if not 0 < bound_th < math.inf:
        raise ConfigError(f"bound_th must be positive and finite, but is {bound_th}. DAVIS uses 0.008.")
    return float(bound_th) if bound_th >= 1 else float(math.ceil(bound_th * math.sqrt(size[0] ** 2 + size[1] ** 2)))


def harmonic(counts: Counts) -> Any:
    """F from the counts, an array of their kind: twice the product of precision and recall over their sum."""
    _, _, pred, truth, pred_matched, truth_matched = counts
    weight = pred_matched * truth + truth_matched * pred
    return 2 * pred_matched * truth_matched / (weight + (weight == 0)) + (pred + truth == 0)
