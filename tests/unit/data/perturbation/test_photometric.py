import numpy as np

from vosfw.data.perturbation.base import Dice
from vosfw.data.perturbation.photometric import Brightness, Contrast, JPEGCompression

DICE = Dice(0, "test", "video", "00000")
FRAME = np.random.default_rng(0).integers(256, size=(40, 48, 3), dtype=np.uint8)


def test_brightness_clips():
    found = Brightness([0.1, 0.2], 2).spoil(FRAME, DICE, 0)
    assert np.array_equal(found, np.minimum(FRAME.astype(int) + 51, 255))
    assert np.array_equal(Brightness(-0.2).spoil(FRAME, DICE, 0), np.maximum(FRAME.astype(int) - 51, 0))


def test_contrast_keeps_the_mean():
    found = Contrast(0.25).spoil(FRAME, DICE, 0).astype(float)
    mean = FRAME.mean((0, 1))
    assert np.abs(found - (mean + (FRAME - mean) / 4)).max() <= 0.51
    assert np.array_equal(Contrast(1).spoil(FRAME, DICE, 0), FRAME)


def test_jpeg_gets_worse_with_severity():
    smooth = np.add.outer(np.arange(40) * 3, np.arange(48) * 2)[..., None].repeat(3, 2).astype(np.uint8)
    losses = [
        np.abs(JPEGCompression([90, 30, 4], s).spoil(smooth, DICE, 0).astype(int) - smooth).mean() for s in (1, 2, 3)
    ]
    assert losses[0] < losses[1] < losses[2] and losses[0] < 2
