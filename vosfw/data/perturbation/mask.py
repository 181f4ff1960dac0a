"""Bad reference masks: what is handed to the network is spoilt, the truth that scores are taken with is not.

Lengths are shares of the square root of the object's area. Unlabelled pixels stay unlabelled. Where objects come to
overlap the smaller one is in front, and no object is lost but by ``MissingObject``.
"""

import math
from abc import abstractmethod

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from vosfw.data.perturbation.base import Dice, Perturbation, Scale, VideoView
from vosfw.data.video import Video
from vosfw.types import VOID

Shape = Bool[np.ndarray, "Y X"]
Labels = UInt8[np.ndarray, "Y X"]


class MaskPerturbation(Perturbation):
    """Spoils given masks."""

    @abstractmethod
    def spoil(self, labels: Labels, dice: Dice) -> Labels:
        """A given mask, spoilt: slot + 1 per pixel, 0 background, VOID unlabelled."""

    def apply(self, video: Video) -> Video:
        """A view of the video with spoilt given masks."""
        return _SpoiltMasks(video, self)


class _SpoiltMasks(VideoView):
    def __init__(self, video: Video, perturbation: MaskPerturbation) -> None:
        super().__init__(video)
        self.perturbation = perturbation

    def given_mask(self, index: int) -> UInt8[Tensor, "Y X"]:
        labels = self.video.given_mask(index).numpy()
        dice = self.perturbation.dice(self.video, self.frames[index])
        return torch.from_numpy(self.perturbation.spoil(labels.copy(), dice))


class ShapePerturbation(MaskPerturbation):
    """Changes the shape of each object by itself.

    Args:
        amount: How much, as the kind says.
        severity: See ``Perturbation``.
        seed: See ``Perturbation``.
    """

    def __init__(self, amount: Scale, severity: int = 1, *, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.amount = float(self.at_severity("amount", amount, 0))

    @abstractmethod
    def reshape(self, shape: Shape, draw: np.random.Generator) -> Shape:
        """Another shape for an object; an empty one keeps the most central pixel of the old one."""

    def spoil(self, labels: Labels, dice: Dice) -> Labels:
        """All objects with other shapes, the smaller ones in front."""
        draw = dice.of_frame()
        void = labels == VOID
        counts = np.bincount(labels.ravel(), minlength=VOID + 1)
        shapes = {label: labels == label for label in np.flatnonzero(counts[1:VOID]) + 1}
        spoilt = np.where(void, VOID, 0).astype(np.uint8)
        # Drawn in the order of labels, painted in that of sizes.
        changed = {label: self.reshape(shape, draw) & ~void for label, shape in shapes.items()}
        for label in sorted(shapes, key=lambda label: -int(counts[label])):
            shape = changed[label]
            spoilt[shape if shape.any() else _middle(shapes[label])] = label
        return spoilt


class ErodedMask(ShapePerturbation):
    """Masks that are too small: a rim as wide as ``amount`` is taken away, a pixel at least."""

    def reshape(self, shape: Shape, draw: np.random.Generator) -> Shape:
        """What is deeper inside than the rim."""
        return _depth(shape) > _pixels(self.amount, shape)


class DilatedMask(ShapePerturbation):
    """Masks that are too large: a rim as wide as ``amount`` is added, a pixel at least."""

    def reshape(self, shape: Shape, draw: np.random.Generator) -> Shape:
        """Everything within reach."""
        return _depth(~shape) <= _pixels(self.amount, shape)


class ShiftedMask(ShapePerturbation):
    """Masks beside their objects: each moves by ``amount`` in a direction of its own, and stays in the picture."""

    def reshape(self, shape: Shape, draw: np.random.Generator) -> Shape:
        """The shape elsewhere."""
        angle, length = draw.uniform(0, 2 * math.pi), _pixels(self.amount, shape)
        rows, columns = np.nonzero(shape)
        down, right = round(length * math.sin(angle)), round(length * math.cos(angle))
        # Towards the other side where a border is in the way.
        if not 0 <= rows.mean() + down < shape.shape[0]:
            down = -down
        if not 0 <= columns.mean() + right < shape.shape[1]:
            right = -right
        rows, columns = rows + down, columns + right
        inside = (rows >= 0) & (rows < shape.shape[0]) & (columns >= 0) & (columns < shape.shape[1])
        moved = np.zeros_like(shape)
        moved[rows[inside], columns[inside]] = True
        return moved


class BoxMask(ShapePerturbation):
    """Bounding boxes for masks, widened by ``amount`` on every side."""

    def reshape(self, shape: Shape, draw: np.random.Generator) -> Shape:
        """The box."""
        margin = round(self.amount * math.sqrt(shape.sum()))
        rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
        box = np.zeros_like(shape)
        box[
            max(rows[0] - margin, 0) : rows[-1] + margin + 1, max(columns[0] - margin, 0) : columns[-1] + margin + 1
        ] = True
        return box


class ScribbleMask(ShapePerturbation):
    """A stroke of a pen for a mask: a line of width ``amount`` from end to end of the object, through random points.

    Args:
        amount: Width of the line.
        severity: See ``Perturbation``.
        points: That the line passes.
        seed: See ``Perturbation``.
    """

    def __init__(self, amount: Scale, severity: int = 1, *, points: int = 8, seed: int = 0) -> None:
        super().__init__(amount, severity, seed=seed)
        self.points = int(self.at_severity("points", points, 2))

    def reshape(self, shape: Shape, draw: np.random.Generator) -> Shape:
        """The part of the line that lies in the object."""
        depth = _depth(shape)
        places = np.argwhere(depth >= depth.max() / 3)
        chosen = places[draw.integers(len(places), size=self.points)]
        # From one end of the object to the other, so that the line does not go back and forth.
        centred = places - places.mean(0)
        axis = np.linalg.svd(centred.T @ centred)[0][:, 0]
        chosen = chosen[np.argsort(chosen @ axis, kind="stable")]
        line = np.zeros(shape.shape, np.uint8)
        width = round(self.amount * math.sqrt(shape.sum()))
        cv2.polylines(line, [chosen[:, ::-1].astype(np.int32)], False, 1, max(width, 1))
        stroke: Shape = (line > 0) & shape
        return stroke


class MissingObject(MaskPerturbation):
    """Objects that were forgotten: their pixels are given as background; one object at least stays in every mask.

    A forgotten object counts in the scores like any other, and can hardly be found.

    Args:
        objects: How many are left out of each given mask.
        severity: See ``Perturbation``.
        seed: See ``Perturbation``.
    """

    def __init__(self, objects: Scale, severity: int = 1, *, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.objects = self.whole_at_severity("objects", objects, 0)

    def spoil(self, labels: Labels, dice: Dice) -> Labels:
        """The mask without some objects; masks of one object stay as they are."""
        present = np.setdiff1d(np.unique(labels), (0, VOID))
        left_out = dice.of_frame().permutation(present)[: min(self.objects, max(len(present) - 1, 0))]
        labels[np.isin(labels, left_out)] = 0
        return labels


def _depth(shape: Shape) -> Float32[np.ndarray, "Y X"]:
    """Distance of each pixel of the shape to the nearest one outside it; the picture's border is none."""
    if shape.all():
        return np.full(shape.shape, np.inf, np.float32)
    return cv2.distanceTransform(shape.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float32)


def _pixels(amount: float, shape: Shape) -> float:
    """A share of the square root of the area, in pixels, at least 1."""
    return max(amount * math.sqrt(shape.sum()), 1.0)


def _middle(shape: Shape) -> Shape:
    """The pixel farthest from the rim."""
    middle = np.zeros_like(shape)
    middle.flat[_depth(shape).argmax()] = True
    return middle
