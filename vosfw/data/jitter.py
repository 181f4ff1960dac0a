"""Colour jitter with explicit factors."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import kornia.enhance as enhance
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


class Jitter(NamedTuple):
    """Colour factors, applied in ``order``: 0 brightness, 1 contrast, 2 saturation, 3 hue."""

    order: tuple[int, ...]
    factors: Float[Tensor, "T 4"]


def draw_jitter(draw: np.random.Generator, amounts: Sequence[float | int], rows: int, frames: int) -> Jitter:
    """Factors of ``rows`` frames, repeated to ``frames``."""
    centers = np.array([1.0, 1.0, 1.0, 0.0])
    factors = centers + draw.uniform(-1, 1, size=(rows, 4)) * np.array(amounts)
    order = tuple(draw.permutation(4).tolist())
    return Jitter(order, torch.from_numpy(factors).float().expand(frames, 4))


def recolored(
    pictures: Float[Tensor, "T 3 H W"], jitter: Jitter, amounts: Sequence[float | int]
) -> Float[Tensor, "T 3 H W"]:
    """Frames in 0..1 with their factors applied, as torchvision's ColorJitter defines them."""
    steps: tuple[Any, ...] = (
        enhance.adjust_brightness_accumulative,
        enhance.adjust_contrast_with_mean_subtraction,
        enhance.adjust_saturation_with_gray_subtraction,
        _turn_hue,
    )
    factors = jitter.factors.to(pictures)
    for kind in jitter.order:
        if amounts[kind] > 0:
            pictures = steps[kind](pictures, factors[:, kind])
    return pictures


def _turn_hue(pictures: Tensor, turns: Tensor) -> Tensor:
    turned: Tensor = enhance.adjust_hue(pictures, turns * (2 * torch.pi))
    return turned
