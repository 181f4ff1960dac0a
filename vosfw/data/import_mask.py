"""Draws the shapes of a frame, and counts."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8

from vosfw.data.annotated import Annotations
from vosfw.data.import_plan import Frame, keyed
from vosfw.data.outline import Polygons


@dataclass
class Counts:
    """What was imported."""

    format: str
    videos: int = 0
    frames: int = 0
    masks: int = 0
    objects: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    """By kind."""
    overlapping: int = 0
    """Pixels that several objects claim; the later one got them."""
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def draw(
    frame: Frame, objects: dict[tuple[str, str], int], found: Annotations, counts: Counts
) -> UInt8[np.ndarray, "Y X"]:
    """Object ids of a frame, shapes of a higher order above the others, later ones above earlier ones.

    What is wrong with a shape is added to ``found.problems``.
    """
    ids = np.zeros(frame.size, np.uint8)
    picture = frame.picture
    if picture is None:
        return ids
    for key, shape in sorted(keyed(picture), key=lambda pair: pair[1].order):
        with found.shape(found.path, f"{picture.where}, {shape.where}"):
            covered = shape.outline.draw(frame.size)
            counts.shapes[shape.outline.kind] += 1
            outline = shape.outline
            if isinstance(outline, Polygons) and (far := outline.beyond(frame.size)) > 1:
                text = f"{picture.where}, {shape.where}: it reaches {far:.0f} pixels out of the picture; cut off."
                found.complain(found.path, text, error=False)
            if not covered.any():
                counts.left_out["shape that covers no pixel"] += 1
                text = f"{picture.where}, {shape.where}: it covers no pixel; left out."
                found.complain(found.path, text, error=False)
            counts.overlapping += int((covered & (ids > 0) & (ids != objects[key])).sum())
            ids[covered] = objects[key]
    return ids
