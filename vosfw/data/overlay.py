"""Masks drawn over frames, for people."""

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

from vosfw.data.io import PALETTE


def overlay(
    frame: UInt8[Tensor, "3 Y X"], labels: Integer[np.ndarray, "Y X"] | Integer[Tensor, "Y X"], opacity: float = 0.5
) -> UInt8[Tensor, "3 Y X"]:
    """A frame tinted with the palette's colour of each object, with full-colour outlines.

    Args:
        frame: RGB.
        labels: Object id per pixel; ids above 255 share colours.
        opacity: Of the tint, 0..1.
    """
    ids = torch.as_tensor(np.asarray(labels)).long().remainder(256)
    colors = torch.from_numpy(PALETTE)[ids].permute(2, 0, 1).float()
    edge = torch.zeros_like(ids, dtype=torch.bool)
    edge[:-1] |= ids[:-1] != ids[1:]
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    edge[1:] |= ids[:-1] != ids[1:]
    edge[:, 1:] |= ids[:, :-1] != ids[:, 1:]
    alpha = torch.where(edge, 1.0, opacity) * (ids > 0)
    return (frame * (1 - alpha) + colors * alpha).round().to(torch.uint8)
