"""YouTube-VOS-P's perturbations against OpenCV and NumPy's old generator, as AOC-Net's released code calls them."""

import numpy as np
import pytest

from vosfw.data.perturbation.base import Dice
from vosfw.data.perturbation.blur import BoxBlur
from vosfw.data.perturbation.noise import GaussianNoise, set_points

DICE = Dice(0, "test", "video", "00000")


@pytest.fixture(scope="module")
def fixture(golden):
    return np.load(golden / "aoc" / "perturb.npz")


@pytest.mark.parametrize("kernel", [7, 9])
def test_box_blur(fixture, kernel):
    """The release keeps real numbers; ours are those, rounded."""
    found = BoxBlur(kernel).spoil(fixture["image_bgr"], DICE, 0)
    assert np.array_equal(found, np.rint(fixture[f"blur{kernel}"]))


@pytest.mark.parametrize(("points", "seed"), [(50, 123), (400, 7)])
def test_points(fixture, points, seed):
    image = fixture["image_bgr"]
    draw = np.random.RandomState(seed)
    rows, columns = (draw.randint(0, side, points) for side in image.shape[:2])
    assert np.array_equal(set_points(image, rows, columns), fixture[f"points{points}_npseed{seed}"])


@pytest.mark.parametrize(("sigma", "key"), [(10, "noise10_cvseed5"), (30, "noise30_cvseed6")])
def test_noise(fixture, sigma, key):
    """OpenCV's generator is another one, so only the distribution can agree; four standard errors are allowed."""
    image = fixture["image_bgr"]
    ours = GaussianNoise(sigma, clip=False).spoil(image, DICE, 0) - image
    theirs = fixture[key] - image
    assert ours.dtype == np.float32
    for noise in (ours, theirs):
        assert abs(noise.mean()) < 4 * sigma / np.sqrt(image.size)
        assert abs(noise.std() - sigma) < 4 * sigma / np.sqrt(2 * image.size)
        assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 4 / np.sqrt(image.size / 3)
    clipped = GaussianNoise(sigma).spoil(image, DICE, 0)
    assert clipped.dtype == np.uint8
    assert np.array_equal(clipped, np.rint((image + ours).clip(0, 255)))
