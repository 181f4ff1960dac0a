"""Compression and light."""

import io

import numpy as np
from PIL import Image

from vosfw.data.perturbation.base import Dice, FramePerturbation, Picture, Scale, to_eight_bit


class JPEGCompression(FramePerturbation):
    """Strong compression.

    Args:
        quality: Of JPEG as libjpeg counts, 1 (worst) to 95.
        severity: See ``Perturbation``.
        seed: Without effect.
    """

    def __init__(self, quality: Scale, severity: int = 1, *, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.at_severity("quality", quality, 1, 95)
        self.quality = self.whole_at_severity("quality", quality, 1)

    def spoil(self, frame: Picture, dice: Dice, index: int) -> Picture:
        """The frame, compressed and decoded."""
        file = io.BytesIO()
        Image.fromarray(frame).save(file, format="JPEG", quality=self.quality)
        decoded: Picture = np.array(Image.open(file))
        return decoded


class Brightness(FramePerturbation):
    """Light that is added or taken away, equally everywhere.

    Args:
        shift: Added to all channels, as a share of the full range; negative for darker.
        severity: See ``Perturbation``.
        seed: Without effect.
    """

    def __init__(self, shift: Scale, severity: int = 1, *, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.shift = float(self.at_severity("shift", shift, -1, 1))

    def spoil(self, frame: Picture, dice: Dice, index: int) -> Picture:
        """The frame, brighter or darker."""
        return to_eight_bit(frame + np.float32(255 * self.shift))


class Contrast(FramePerturbation):
    """Grey levels drawn towards the frame's mean colour.

    Args:
        factor: Of the differences from the mean.
        severity: See ``Perturbation``.
        seed: Without effect.
    """

    def __init__(self, factor: Scale, severity: int = 1, *, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.factor = np.float32(self.at_severity("factor", factor, 0))

    def spoil(self, frame: Picture, dice: Dice, index: int) -> Picture:
        """The frame with another contrast."""
        mean = frame.mean((0, 1), dtype=np.float64).astype(np.float32)
        return to_eight_bit(mean + self.factor * (frame - mean))
