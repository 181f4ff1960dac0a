"""Outlines of objects as annotation tools store them, and the pixels that they cover.

Coordinates are x and y in pixels from the upper left corner of the picture, so that pixel ``i`` reaches from ``i`` to
``i + 1`` and is covered if its centre is.
"""

import base64
import binascii
import io
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from vosfw.data.run_lengths import check_counts, check_size, decode_brush, expand
from vosfw.errors import DatasetError


class LeftOut(Exception):  # noqa: N818
    """A shape that has no mask; the text says why in a few words, which are counted."""


@runtime_checkable
class Outline(Protocol):
    """Where an object is."""

    @property
    def kind(self) -> str:
        """In a word, in the plural."""

    def draw(self, size: tuple[int, int]) -> Bool[np.ndarray, "Y X"]:
        """Pixels of a picture of this height and width that it covers.

        Raises:
            DatasetError: If it is damaged or of another size.
        """


def fill(points: Float[np.ndarray, "n 2"], size: tuple[int, int]) -> Bool[np.ndarray, "Y X"]:
    """Pixels whose centre is inside a polygon, by the even-odd rule; what lies outside the picture is cut off.

    OpenCV and Pillow fill the edge as well, half a pixel too much on either side.

    Args:
        points: x and y in pixels.
        size: Height and width in pixels.
    """
    toggles = np.zeros((size[0], size[1] + 1), np.int32)
    start, stop = points, np.roll(points, -1, 0)
    for (x0, y0), (x1, y1) in zip(start.tolist(), stop.tolist(), strict=True):
        if y0 == y1:
            continue
        low, high = min(y0, y1), max(y0, y1)
        # Rows whose centre lies in [low, high): of two edges that meet on it, it crosses one.
        first, last = max(int(np.ceil(low - 0.5)), 0), min(int(np.ceil(high - 0.5)), size[0])
        if last <= first:
            continue
        rows = np.arange(first, last)
        crossing = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        columns = np.clip(np.ceil(crossing - 0.5), 0, size[1]).astype(np.int64)
        toggles[rows, columns] += 1
    inside: Bool[np.ndarray, "Y X"] = np.cumsum(toggles, 1)[:, :-1] % 2 == 1
    return inside


def points_of(values: Any) -> Float[np.ndarray, "n 2"]:
    """Corners of a polygon, from pairs or from x and y in turn.

    Raises:
        LeftOut: If there are fewer than 3.
        DatasetError: If they are no finite numbers, or x has no y.
    """
    try:
        points = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"points are no numbers ({error})") from error
    if points.size % 2 or not np.isfinite(points).all() or points.ndim > 2 or (points.ndim == 2 and len(points.T) != 2):
        raise DatasetError(f"points have the shape {points.shape}; wanted finite numbers, x and y of each")
    if np.abs(points).max(initial=0) > 1e7:
        raise DatasetError(f"a point at {np.abs(points).max():g}; wanted pixels of the picture")
    points = points.reshape(-1, 2)
    if len(points) < 3:
        raise LeftOut("polygon of fewer than 3 points")
    return points


class Polygons(NamedTuple):
    """One or more polygons; a pixel is covered if it is in one of them."""

    parts: tuple[Float[np.ndarray, "_n 2"], ...]
    kind: str = "polygons"

    def draw(self, size: tuple[int, int]) -> Bool[np.ndarray, "Y X"]:
        """See ``Outline``."""
        covered = np.zeros(size, bool)
        for points in self.parts:
            covered |= fill(points, size)
        return covered

    def beyond(self, size: tuple[int, int]) -> float:
        """How far it reaches outside the picture, in pixels."""
        corners = np.concatenate(self.parts)
        return float(max(-corners.min(), (corners - np.array(size[::-1])).max(), 0))


def box(x0: float | int, y0: float | int, x1: float | int, y1: float | int) -> Polygons:
    """A filled rectangle by two of its corners."""
    return Polygons((points_of([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]),), "boxes")


def ellipse(x: float | int, y: float | int, width: float | int, height: float | int) -> Polygons:
    """A filled ellipse by its centre and half axes, as a polygon that is off by less than 0.1 pixel."""
    corners = int(np.clip(8 * np.sqrt(max(width, height)), 32, 2000))
    angles = np.arange(corners) * (2 * np.pi / corners)
    return Polygons((points_of(np.stack([x + width * np.cos(angles), y + height * np.sin(angles)], 1)),), "ellipses")


class Runs(NamedTuple):
    """Run lengths of a rectangle of the picture."""

    counts: Sequence[int]
    size: tuple[int, int]
    by_columns: bool
    corner: tuple[int, int] | None = None
    """Row and column of the rectangle; None for run lengths of the whole picture."""
    kind: str = "run lengths"

    def draw(self, size: tuple[int, int]) -> Bool[np.ndarray, "Y X"]:
        """See ``Outline``."""
        if self.corner is None and self.size != size:
            raise DatasetError(f"run lengths of {_told(self.size)}, but the frame is {_told(size)}")
        return _placed(expand(self.counts, self.size, by_columns=self.by_columns), self.corner or (0, 0), size)


def runs(
    counts: Sequence[int], size: tuple[int, int], *, by_columns: bool, corner: tuple[int, int] | None = None
) -> Runs:
    """Run lengths that are known to fill their size.

    Raises:
        DatasetError: If they do not.
    """
    check_counts(counts, size)
    return Runs(counts, size, by_columns, corner)


class Stored(NamedTuple):
    """A rectangle of the picture as a PNG in base64 (labelme)."""

    text: str
    corner: tuple[int, int]
    """Row and column."""
    kind: str = "pictures"

    def draw(self, size: tuple[int, int]) -> Bool[np.ndarray, "Y X"]:
        """See ``Outline``."""
        try:
            with Image.open(io.BytesIO(base64.b64decode(self.text, validate=True))) as image:
                check_size((image.height, image.width))
                pixels = np.array(image.convert("L")) > 0
        except (binascii.Error, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DatasetError(f"its mask is no PNG in base64 ({error})") from error
        return _placed(pixels, self.corner, size)


class Brush(NamedTuple):
    """A stroke of Label Studio's brush."""

    data: Sequence[int]
    size: tuple[int, int]
    kind: str = "brush strokes"

    def draw(self, size: tuple[int, int]) -> Bool[np.ndarray, "Y X"]:
        """See ``Outline``."""
        if self.size != size:
            raise DatasetError(f"a brush stroke of {_told(self.size)}, but the frame is {_told(size)}")
        return decode_brush(self.data, size) > 0


def _placed(pixels: Bool[np.ndarray, "y x"], corner: tuple[int, int], size: tuple[int, int]) -> Bool[np.ndarray, "Y X"]:
    """A rectangle in its picture; what lies outside is cut off."""
    covered = np.zeros(size, bool)
    top, left = corner
    inside = pixels[max(-top, 0) : max(size[0] - top, 0), max(-left, 0) : max(size[1] - left, 0)]
    if inside.size:
        top, left = max(top, 0), max(left, 0)
        covered[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return covered


def _told(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} (height x width)"
