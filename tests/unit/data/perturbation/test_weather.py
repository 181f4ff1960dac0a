import numpy as np
import pytest

from vosfw.data.perturbation.base import Dice
from vosfw.data.perturbation.weather import Fog, Rain

DICE = Dice(0, "test", "video", "00000")
BLACK = np.zeros((60, 80, 3), np.uint8)


def test_even_fog_is_a_mixture():
    frame = np.full((20, 30, 3), 100, np.uint8)
    assert (Fog(0.5, color=200, patchiness=0).spoil(frame, DICE, 0) == 150).all()


@pytest.mark.parametrize("density", [0.3, 0.8])
def test_patchy_fog_is_as_dense_on_average(density):
    share = Fog(density, color=255, patchiness=0.9).spoil(BLACK, DICE, 0)[..., 0] / 255
    assert share.mean() == pytest.approx(density, abs=0.12)
    assert share.std() > 0.05 and share.max() < 1


def test_fog_drifts_and_is_otherwise_the_same():
    fog = Fog(0.5, drift=3)
    first = fog.spoil(BLACK, DICE, 0)
    later = fog.spoil(BLACK, DICE._replace(frame="00007"), 7)
    assert np.array_equal(np.roll(first, 21, 1), later)
    assert not np.array_equal(fog.spoil(BLACK, DICE._replace(video="other"), 0), first)


def test_rain_falls_anew_in_every_frame_and_more_at_higher_severity():
    wet = [Rain([5, 40], s).spoil(BLACK, DICE, 0) for s in (1, 2)]
    assert 0 < (wet[0] > 0).mean() < (wet[1] > 0).mean() < 0.9
    assert not np.array_equal(wet[0], Rain([5, 40], 1).spoil(BLACK, DICE._replace(frame="00001"), 1))
    dry = Rain(0, gloom=0.25).spoil(np.full((20, 30, 3), 100, np.uint8), DICE, 0)
    assert (dry == 75).all()
