"""J, the region similarity."""

from typing import Any

import torch
from jaxtyping import Bool, Float64, Integer
from torch import Tensor

from vosfw.metrics.counts import Counts, count


def jaccard(
    pred: Integer[Tensor, "F Y X"],
    truth: Integer[Tensor, "F Y X"],
    slots: int,
    void: Bool[Tensor, "F Y X"] | None = None,
) -> Float64[Tensor, "F K"]:
    """Intersection over union of each object's masks, 1 where both are empty.

    Perazzi et al., A Benchmark Dataset and Evaluation Methodology for VOS, CVPR 2016, section 5, as in the official
    DAVIS 2017 toolkit.

    Args:
        pred: Predicted slot + 1, 0 background.
        truth: The same; VOID pixels are left out on both sides.
        slots: Number of objects ``K``.
        void: Further pixels to leave out.

    Returns:
        In 0..1, on the device of ``pred``.

    Raises:
        ConfigError: If ``slots`` is out of range.
        DatasetError: If the sizes differ.
    """
    return torch.as_tensor(overlap(count(pred, truth, slots, void)))


def overlap(counts: Counts) -> Any:
    """J from the counts; an array of their kind."""
    empty = counts.either == 0
    return (counts.common + empty) / (counts.either + empty)
