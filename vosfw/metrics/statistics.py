"""Mean, recall and decay of a measure over the frames of a video."""

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor


class Statistics(NamedTuple):
    """One value per object; nan without frames."""

    mean: Float64[Tensor, "*K"]
    """Over frames, in 0..1."""
    recall: Float64[Tensor, "*K"]
    """Share of frames above one half."""
    decay: Float64[Tensor, "*K"]
    """Mean of the first quarter of the frames minus that of the last, in -1..1."""


def statistics(values: Float64[Tensor, "F *K"]) -> Statistics:
    """Statistics over the frames, as in the official DAVIS toolkit, for videos of any length.

    Quarters share their limits; a limit halfway between two frames goes to the later one. (The toolkit keeps the limits
    in 8 bits and so errs beyond 256 frames.)

    Args:
        values: J or F per frame, in time order.
    """
    frames = values.shape[0]
    if frames == 0:
        nothing = values.new_full(values.shape[1:], torch.nan)
        return Statistics(nothing, nothing, nothing)
    first, last = ((frames - 1) * quarter + 2 for quarter in (1, 3))
    decay = values[: first // 4 + 1].mean(0) - values[last // 4 :].mean(0)
    return Statistics(values.mean(0), (values > 0.5).to(values.dtype).mean(0), decay)
