import numpy as np
import pytest
from scipy import ndimage

from vosfw.data.perturbation.base import Dice
from vosfw.data.perturbation.blur import BoxBlur, DefocusBlur, GaussianBlur, MotionBlur

DICE = Dice(0, "test", "video", "00000")
FRAME = np.random.default_rng(0).integers(256, size=(40, 50, 3), dtype=np.uint8)


def by_weights(weights):
    expected = FRAME.astype(float)
    for axis in (0, 1):
        expected = ndimage.correlate1d(expected, weights, axis, mode="mirror")
    return expected


@pytest.mark.parametrize(("kernel", "most"), [(9, 1.5), (15, 1.5)])
def test_gaussian_blur_by_its_formula(kernel, most):
    """OpenCV computes with 8 binary digits, and with a table for 9 in some versions: hence the tolerance."""
    sigma = 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8
    places = np.arange(kernel) - kernel // 2
    weights = np.exp(-(places**2) / (2 * sigma**2))
    found = GaussianBlur(kernel).spoil(FRAME, DICE, 0)
    assert found.dtype == np.uint8 and np.abs(found - by_weights(weights / weights.sum())).max() <= most


@pytest.mark.parametrize("half", [(1, 4, 6), (2, 7, 14, 18)])
def test_small_gaussian_blur_by_its_table(half):
    weights = np.array([*half, *half[-2::-1]])
    found = GaussianBlur(len(weights)).spoil(FRAME, DICE, 0)
    assert np.abs(found - by_weights(weights / weights.sum())).max() <= 0.5 + 1e-6


def test_box_blur_is_a_mean():
    expected = ndimage.uniform_filter(FRAME.astype(float), (7, 7, 1), mode="mirror")
    assert np.abs(BoxBlur(7).spoil(FRAME, DICE, 0) - expected).max() <= 0.5 + 1e-6


def test_a_flat_frame_stays_flat():
    flat = np.full((40, 50, 3), 77, np.uint8)
    for blur in (GaussianBlur(9), BoxBlur(9), MotionBlur(15), DefocusBlur(4)):
        assert (blur.spoil(flat, DICE, 0) == 77).all()


def test_motion_blur_smears_a_point_along_a_line():
    point = np.zeros((61, 61, 3), np.uint8)
    point[30, 30] = 255
    angles = []
    for name in ("00000", "00001", "00002"):
        spoilt = MotionBlur(21).spoil(point, DICE._replace(frame=name), 0)[..., 0].astype(float)
        places, weights = np.argwhere(spoilt > 0), spoilt[spoilt > 0]
        centred = places - np.average(places, axis=0, weights=weights)
        np.testing.assert_allclose(np.average(places, axis=0, weights=weights), 30, atol=0.2)
        spread = np.linalg.eigh(np.cov(centred.T, aweights=weights))
        # A line of length 20 has a standard deviation of 20 / sqrt(12) along itself.
        assert np.sqrt(spread.eigenvalues[1]) == pytest.approx(20 / np.sqrt(12), rel=0.1)
        assert np.sqrt(spread.eigenvalues[0]) < 0.6
        angles.append(np.arctan2(*spread.eigenvectors[:, 1]))
    assert len({round(angle, 2) for angle in angles}) == 3


def test_defocus_blur_makes_a_disk_of_a_point():
    point = np.zeros((31, 31, 3), np.uint8)
    point[15, 15] = 255
    spoilt = DefocusBlur(5).spoil(point, DICE, 0)[..., 0]
    distance = np.hypot(*np.mgrid[-15:16, -15:16])
    assert (spoilt[distance >= 5.5] == 0).all()
    assert len(np.unique(spoilt[distance <= 4.5])) == 1
    assert spoilt[15, 15] == pytest.approx(255 / (np.pi * 25), abs=0.7)
