"""Blur, by OpenCV; borders are mirrored without repeating the last pixel (reflect 101)."""

import math
from abc import abstractmethod

import cv2
import numpy as np
from jaxtyping import Float32

from vosfw.data.perturbation.base import Dice, FramePerturbation, Picture, Scale
from vosfw.errors import ConfigError


class GaussianBlur(FramePerturbation):
    """Gaussian filter of the deviation that OpenCV takes for its size (AOC-Net).

    That is 0.3 ((k - 1) / 2 - 1) + 0.8; for small kernels OpenCV has tables near it (up to 7 or 9, by version).

    Args:
        kernel: Odd side length in pixels; the paper has 7 and 9.
        severity: See ``Perturbation``.
        seed: Without effect.
    """

    def __init__(self, kernel: Scale, severity: int = 1, *, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.kernel = self.whole_at_severity("kernel", kernel, 1)
        if self.kernel % 2 == 0:
            raise ConfigError(f"{type(self).__name__}: kernel is {self.kernel}; wanted an odd number.")

    def spoil(self, frame: Picture, dice: Dice, index: int) -> Picture:
        """The frame, blurred."""
        blurred: Picture = cv2.GaussianBlur(frame, (self.kernel, self.kernel), 0).astype(np.uint8, copy=False)
        return blurred


class BoxBlur(GaussianBlur):
    """Mean over a square, which the released code of AOC calls Gaussian blur.

    Args:
        kernel: Odd side length in pixels.
        severity: See ``Perturbation``.
        seed: Without effect.
    """

    def spoil(self, frame: Picture, dice: Dice, index: int) -> Picture:
        """The frame, blurred."""
        blurred: Picture = cv2.blur(frame, (self.kernel, self.kernel)).astype(np.uint8, copy=False)
        return blurred


class KernelBlur(FramePerturbation):
    """Convolution with a kernel that may differ from frame to frame."""

    @abstractmethod
    def kernel(self, dice: Dice) -> Float32[np.ndarray, "k k"]:
        """The kernel of a frame; it need not sum to 1."""

    def spoil(self, frame: Picture, dice: Dice, index: int) -> Picture:
        """The frame, blurred."""
        kernel = self.kernel(dice)
        blurred: Picture = cv2.filter2D(frame, -1, kernel / kernel.sum()).astype(np.uint8, copy=False)
        return blurred


class MotionBlur(KernelBlur):
    """A shaking camera: each frame is smeared along a line of its own direction.

    Args:
        length: Of the line, in pixels.
        severity: See ``Perturbation``.
        seed: See ``Perturbation``.
    """

    def __init__(self, length: Scale, severity: int = 1, *, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.length = float(self.at_severity("length", length, 1))

    def kernel(self, dice: Dice) -> Float32[np.ndarray, "k k"]:
        """A line through the middle."""
        angle = dice.of_frame().uniform(0, math.pi)
        middle = math.ceil(self.length / 2)
        kernel = np.zeros((2 * middle + 1, 2 * middle + 1), np.float32)
        # Dense samples along the line, shared out to the four nearest cells, make a line without steps.
        places = np.linspace(-0.5, 0.5, 8 * kernel.shape[0]) * (self.length - 1)
        rows, columns = middle + places * math.sin(angle), middle + places * math.cos(angle)
        top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
        for down in (0, 1):
            for right in (0, 1):
                share = (1 - np.abs(rows - top - down)) * (1 - np.abs(columns - left - right))
                inside = (top + down < len(kernel)) & (left + right < len(kernel))
                np.add.at(kernel, (top[inside] + down, left[inside] + right), share[inside])
        return kernel


class DefocusBlur(KernelBlur):
    """A lens out of focus: every point becomes a disk.

    Args:
        radius: Of the disk, in pixels.
        severity: See ``Perturbation``.
        seed: Without effect.
    """

    def __init__(self, radius: Scale, severity: int = 1, *, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.radius = float(self.at_severity("radius", radius, 0.5))

    def kernel(self, dice: Dice) -> Float32[np.ndarray, "k k"]:
        """A disk whose rim is one pixel soft."""
        reach = math.ceil(self.radius)
        distance = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
        disk: Float32[np.ndarray, "k k"] = (self.radius + 0.5 - distance).clip(0, 1).astype(np.float32)
        return disk
