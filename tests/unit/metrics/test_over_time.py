import numpy as np
import pytest

from vosfw.errors import ConfigError
from vosfw.metrics.over_time import over_time


def sequence(frames, **objects):
    found = {key: {"j_per_frame": list(j), "f_per_frame": list(f)} for key, (j, f) in objects.items()}
    return {"frames": [f"{t:05d}" for t in range(frames)], "objects": found}


def test_videos_of_any_length_are_brought_to_the_same_time():
    short = sequence(2, a=((1.0, 0.0), (1.0, 0.0)))
    long = sequence(5, a=((0.8, 0.8, 0.4, 0.0, 0.0), (0.4, 0.4, 0.4, 0.4, 0.4)))
    results = {"sequences": {"short": short, "long": long}}
    # Of the short one 1, 3/4, 1/2, 1/4, 0; of the long one the mean of J and F in its five frames.
    assert over_time(results, points=5) == pytest.approx([0.8, 0.675, 0.45, 0.225, 0.1])
    assert over_time(results, "f", points=3) == pytest.approx([0.7, 0.45, 0.2])


def test_every_object_weighs_the_same_and_late_ones_count_from_where_they_join():
    video = sequence(3, early=((0.9, 0.9, 0.9),) * 2, late=((0.3, 0.3),) * 2)
    assert over_time({"sequences": {"v": video}}, points=5) == pytest.approx([0.9, 0.9, 0.6, 0.6, 0.6])


def test_one_frame_and_none():
    assert over_time({"sequences": {"v": sequence(1, a=((0.7,), (0.5,)))}}, points=3) == pytest.approx([0.6] * 3)
    nothing = over_time({"sequences": {"v": {"objects": {"1": {"j_and_f": 0.5}}}}}, points=3)
    assert np.isnan(nothing).all()


@pytest.mark.parametrize("options", [{"measure": "k"}, {"points": 1}])
def test_bad_arguments(options):
    with pytest.raises(ConfigError, match="wanted j_and_f, j or f"):
        over_time({"sequences": {}}, **options)
