"""Fog, smoke and rain."""

import cv2
import numpy as np
from jaxtyping import Float32

from vosfw.data.perturbation.base import Dice, FramePerturbation, Picture, Scale, to_eight_bit


class Fog(FramePerturbation):
    """Drifting clouds before the camera: each pixel is mixed with the cloud's colour.

    The clouds are the same in all frames of a video but for their drift.

    Args:
        density: Share of the cloud's colour where the cloud is as thick as on average, in 0..1, but for 1.
        severity: See ``Perturbation``.
        color: Grey level of the cloud: light for fog, dark for smoke.
        patchiness: How much the thickness differs from place to place: 0 is the same everywhere, 1 from nothing to
            twice the mean.
        drift: Pixels per frame to the right.
        seed: See ``Perturbation``.
    """

    def __init__(
        self,
        density: Scale,
        severity: int = 1,
        *,
        color: int = 230,
        patchiness: float | int = 0.5,
        drift: float | int = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__(severity, seed)
        self.density = float(self.at_severity("density", density, 0, 0.99))
        self.color = float(self.at_severity("color", color, 0, 255))
        self.patchiness = float(self.at_severity("patchiness", patchiness, 0, 1))
        self.drift = float(drift)

    def spoil(self, frame: Picture, dice: Dice, index: int) -> Picture:
        """The frame in fog."""
        clouds = np.roll(_clouds(dice.of_video(), frame.shape[:2]), round(self.drift * index), axis=1)
        # Light fades exponentially with the thickness.
        share = 1 - ((1 - self.density) ** (1 + self.patchiness * clouds))[..., None].astype(np.float32)
        return to_eight_bit(frame * (1 - share) + np.float32(self.color) * share)


def _clouds(draw: np.random.Generator, size: tuple[int, int]) -> Float32[np.ndarray, "Y X"]:
    """A cloudy field within -1..1 of mean about 0 whose edges meet: white noise over frequency ** 1.7."""
    noise = draw.standard_normal(size, dtype=np.float32)
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None])
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(noise) * frequency**-1.7, size)
    cloudy: Float32[np.ndarray, "Y X"] = np.tanh(field / field.std()).astype(np.float32)
    return cloudy


class Rain(FramePerturbation):
    """Streaks of rain, new ones in every frame, all in the video's direction, and the gloom that comes with it.

    Args:
        drops: Streaks per 10,000 pixels.
        severity: See ``Perturbation``.
        length: Of a streak, as a share of the frame's height.
        brightness: Of a streak, grey levels that are added.
        gloom: Share of the light that is lost, at every severity.
        seed: See ``Perturbation``.
    """

    def __init__(
        self,
        drops: Scale,
        severity: int = 1,
        *,
        length: float | int = 0.06,
        brightness: float | int = 90.0,
        gloom: float | int = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(severity, seed)
        self.drops = float(self.at_severity("drops", drops, 0))
        self.length = float(self.at_severity("length", length, 0, 1))
        self.brightness = float(self.at_severity("brightness", brightness, 0, 255))
        self.gloom = float(self.at_severity("gloom", gloom, 0, 1))

    def spoil(self, frame: Picture, dice: Dice, index: int) -> Picture:
        """The frame in the rain."""
        height, width = frame.shape[:2]
        slant = dice.of_video().uniform(-0.35, 0.35)
        draw = dice.of_frame()
        count = round(self.drops * height * width / 10000)
        tops = np.stack([draw.uniform(-0.2, 1.2, count) * width, draw.uniform(-0.1, 1, count) * height], 1)
        lengths = draw.uniform(0.5, 1.5, count)[:, None] * self.length * height
        ends = tops + lengths * np.array([slant, 1.0])
        streaks = np.zeros((height, width), np.uint8)
        # Coordinates with four binary digits behind the point.
        lines = np.rint(16 * np.stack([tops, ends], 1)).astype(np.int32)
        cv2.polylines(streaks, list(lines), False, 255, max(round(height / 400), 1), cv2.LINE_AA, 4)
        light = cv2.GaussianBlur(streaks, (3, 3), 0)[..., None].astype(np.float32) * np.float32(self.brightness / 255)
        return to_eight_bit(frame * np.float32(1 - self.gloom) + light)
