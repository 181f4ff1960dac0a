import numpy as np

from vosfw.data.perturbation.base import Dice
from vosfw.data.perturbation.noise import GaussianNoise, SaltAndPepper, set_points

DICE = Dice(0, "test", "video", "00000")


def grey(value=128, size=(60, 80)):
    return np.full((*size, 3), value, np.uint8)


def test_noise_is_independent_per_pixel_and_channel():
    noise = GaussianNoise(20, clip=False).spoil(grey(), DICE, 0) - 128
    assert abs(noise.std() - 20) < 0.5 and abs(noise.mean()) < 0.6
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.03


def test_noise_is_clipped_and_rounded():
    noisy = GaussianNoise(30).spoil(grey(250), DICE, 0)
    assert noisy.dtype == np.uint8 and noisy.max() == 255 and (noisy < 128).sum() == 0
    real = GaussianNoise(30, clip=False).spoil(grey(250), DICE, 0)
    assert real.max() > 300 and np.array_equal(noisy, np.rint(real.clip(0, 255)))


def test_severities_share_their_draws():
    one, two = (GaussianNoise([10, 30], severity, clip=False).spoil(grey(), DICE, 0) for severity in (1, 2))
    np.testing.assert_allclose(3 * (one - 128), two - 128, atol=1e-4)


def test_half_of_the_points_are_white():
    spoilt = SaltAndPepper(400).spoil(grey(), DICE, 0)
    changed = (spoilt != 128).all(-1)
    # Places are drawn with replacement: of 4800 pixels about 4800 (1 - exp(-400 / 4800)) = 384 are hit.
    assert 365 < changed.sum() <= 400
    assert set(np.unique(spoilt[changed])) == {0, 255} and abs((spoilt == 255).sum() / 3 - 192) < 40


def test_later_points_win_and_the_frame_stays():
    frame = grey()
    spoilt = set_points(frame, np.array([1, 1, 2, 5]), np.array([1, 1, 2, 5]))
    assert [spoilt[i, i].tolist() for i in (1, 2, 5)] == [[255] * 3, [0] * 3, [255] * 3]
    assert (frame == 128).all()
    spoilt = set_points(frame, np.array([3, 1, 1]), np.array([3, 1, 1]))
    assert spoilt[1, 1].tolist() == [0] * 3
