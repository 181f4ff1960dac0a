"""Frames, masks, errors and uncertainty as small pictures that a page holds as text.

A frame is a JPEG, stored once; what is drawn over it is a transparent palette PNG of a few kilobytes.
"""

import base64
import io
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Integer, UInt8
from PIL import Image
from torch import Tensor

from vosfw.analysis.picture import heat
from vosfw.types import VOID

OBJECTS = (
    (75, 163, 227),
    (240, 128, 60),
    (44, 194, 149),
    (224, 154, 196),
    (240, 198, 72),
    (155, 211, 247),
    (204, 204, 204),
)
"""Colours of objects by slot, those of a page's lines (``--line-0`` and on): told apart by the colour-blind, and bright
on any frame, where DAVIS's own are dark, some nearly black."""
OUTLINE = 128
"""From this entry of a picture's palette on colours are opaque."""
QUALITY = 80
ERRORS = {"false": (230, 159, 0), "missed": (86, 180, 233), "confused": (204, 121, 167), "right": (255, 255, 255)}
"""Colours of Okabe and Ito, which the colour-blind tell apart."""
STRENGTH = {"false": 235, "missed": 235, "confused": 235, "right": 70}
"""Opacities of 255."""
LEVELS = 16
"""Steps in which uncertainty is drawn."""


class Size(NamedTuple):
    """Of a picture."""

    height: int
    width: int

    @classmethod
    def within(cls, size: tuple[int, int], width: int) -> "Size":
        """Height and width, shrunk to a width of at most ``width`` pixels."""
        factor = min(1.0, width / size[1])
        return cls(max(round(size[0] * factor), 1), max(round(size[1] * factor), 1))


def frame_picture(frame: UInt8[Tensor, "3 Y X"] | Float32[Tensor, "3 Y X"], size: Size) -> str:
    """A frame (uint8, or around 0..1) as a JPEG."""
    if frame.is_floating_point():
        frame = (frame * 255).round().clamp(0, 255).to(torch.uint8)
    image = Image.fromarray(frame.permute(1, 2, 0).contiguous().cpu().numpy())
    if image.size != (size.width, size.height):
        image = image.resize((size.width, size.height), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return _address("jpeg", buffer)


def mask_layer(labels: UInt8[Tensor, "Y X"], size: Size) -> str:
    """Tinted objects with outlines.

    Args:
        labels: Slot + 1, 0 background; VOID is left out.
        size: Of the picture.
    """
    small = _nearest(labels, size)
    edge = np.zeros(small.shape, dtype=bool)
    edge[:-1] |= small[:-1] != small[1:]
    edge[1:] |= small[1:] != small[:-1]
    edge[:, :-1] |= small[:, :-1] != small[:, 1:]
    edge[:, 1:] |= small[:, 1:] != small[:, :-1]
    drawn = np.where((small == 0) | (small == VOID), 0, (small - 1) % len(OBJECTS) + 1)
    colors = np.zeros((256, 4), np.uint8)
    for entry, color in enumerate(OBJECTS, 1):
        colors[entry], colors[entry + OUTLINE] = (*color, 110), (*color, 255)
    return _layer((drawn + OUTLINE * (edge & (drawn > 0))).astype(np.uint8), colors)


def error_layer(predicted: UInt8[Tensor, "Y X"], truth: UInt8[Tensor, "Y X"], size: Size) -> str:
    """Where a prediction is wrong: objects where none is, objects that were missed, and objects taken for others.

    Args:
        predicted: Slot + 1, 0 background.
        truth: The same; VOID pixels are left out.
        size: Of the picture.
    """
    ours, theirs = _nearest(predicted, size), _nearest(truth, size)
    known: Bool[np.ndarray, "y x"] = (theirs != VOID) & (ours != VOID)
    parts = {
        "false": (ours > 0) & (theirs == 0),
        "missed": (ours == 0) & (theirs > 0),
        "confused": (ours > 0) & (theirs > 0) & (ours != theirs),
        "right": (ours > 0) & (ours == theirs),
    }
    drawn, colors = np.zeros(ours.shape, np.uint8), np.zeros((256, 4), np.uint8)
    for entry, (name, where) in enumerate(parts.items(), 1):
        drawn[where & known] = entry
        colors[entry] = (*ERRORS[name], STRENGTH[name])
    return _layer(drawn, colors)


def entropy_layer(grey: UInt8[np.ndarray, "Y X"], size: Size) -> str:
    """How unsure a network was, from nothing (sure) over red to pale yellow (all classes equally likely)."""
    image = Image.fromarray(grey).resize((size.width, size.height), Image.Resampling.BILINEAR)
    levels = np.rint(np.asarray(image) / 255 * (LEVELS - 1)).astype(np.uint8)
    colors = np.zeros((256, 4), np.uint8)
    colors[:LEVELS, :3] = heat(torch.linspace(0, 1, LEVELS)[None])[:, 0].T.numpy()
    colors[:LEVELS, 3] = np.linspace(0, 240, LEVELS)
    return _layer(levels, colors)


def _nearest(labels: UInt8[Tensor, "Y X"], size: Size) -> UInt8[np.ndarray, "y x"]:
    values: UInt8[np.ndarray, "Y X"] = labels.cpu().numpy()
    if values.shape != size:
        image = Image.fromarray(values).resize((size.width, size.height), Image.Resampling.NEAREST)
        values = np.asarray(image)
    return values


def _layer(indices: Integer[np.ndarray, "y x"], colors: UInt8[np.ndarray, "256 4"]) -> str:
    image = Image.fromarray(indices, "L")
    image.putpalette(colors[:, :3].tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=colors[:, 3].tobytes(), optimize=True)
    return _address("png", buffer)


def _address(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
