"""Noise in every pixel, or in some."""

import numpy as np
from jaxtyping import Float32, Integer

from vosfw.data.perturbation.base import Dice, FramePerturbation, Picture, Scale, to_eight_bit


class GaussianNoise(FramePerturbation):
    """Normal noise, independent in every pixel and channel (AOC, Xu et al., ACM MM 2022).

    Args:
        sigma: Standard deviation in grey levels of 0..255; the paper has 10 and 30.
        severity: See ``Perturbation``.
        clip: Clip to 0..255 and round, as a camera's picture is. False leaves real numbers outside 0..255 to the
            network, as the released code does.
        seed: See ``Perturbation``.
    """

    def __init__(self, sigma: Scale, severity: int = 1, *, clip: bool = True, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.sigma = float(self.at_severity("sigma", sigma, 0))
        self.eight_bit = clip

    def spoil(self, frame: Picture, dice: Dice, index: int) -> Picture | Float32[np.ndarray, "Y X 3"]:
        """The frame plus noise."""
        noise = dice.of_frame().standard_normal(frame.shape, dtype=np.float32)
        noisy = frame + np.float32(self.sigma) * noise
        return to_eight_bit(noisy) if self.eight_bit else noisy


class SaltAndPepper(FramePerturbation):
    """Single pixels of white and black (AOC-Net).

    Args:
        points: Number of points in a frame of any size, half of them white; the paper has 1000 and 5000. Places are
            drawn with replacement.
        severity: See ``Perturbation``.
        seed: See ``Perturbation``.
    """

    def __init__(self, points: Scale, severity: int = 1, *, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.points = self.whole_at_severity("points", points, 0)

    def spoil(self, frame: Picture, dice: Dice, index: int) -> Picture:
        """The frame with points."""
        draw = dice.of_frame()
        rows = draw.integers(frame.shape[0], size=self.points)
        return set_points(frame, rows, draw.integers(frame.shape[1], size=self.points))


def set_points(frame: Picture, rows: Integer[np.ndarray, " n"], columns: Integer[np.ndarray, " n"]) -> Picture:
    """A copy of the frame with black points at even places of the list and white ones at odd places; later ones win."""
    spoilt = frame.copy()
    # With repeated indices NumPy keeps the last value.
    spoilt[rows, columns] = np.where(np.arange(len(rows)) % 2, 255, 0).astype(np.uint8)[:, None]
    return spoilt
