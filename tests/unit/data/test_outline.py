"""Pixels under outlines, against matplotlib's and by hand."""

import base64
import io

import numpy as np
import pytest
from matplotlib.path import Path as Reference
from PIL import Image

from vosfw.data.outline import LeftOut, Polygons, Stored, box, ellipse, fill, points_of, runs
from vosfw.errors import DatasetError

SIZE = (30, 40)


@pytest.mark.parametrize("seed", range(8))
def test_the_same_pixels_as_matplotlib(seed):
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 3 + 3 * seed))
    radii = random.uniform(4, 25, len(angles))[:, None]
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * radii + random.uniform(8, 25, 2)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    wanted = Reference([*points, points[0]]).contains_points(np.stack([x.ravel(), y.ravel()], 1)).reshape(SIZE)
    assert wanted.any()
    np.testing.assert_array_equal(fill(points, SIZE), wanted)


def test_a_box_covers_what_its_corners_say_and_is_cut_at_the_edge():
    covered = box(2, 4, 8, 10).draw(SIZE)
    assert covered.sum() == 36 and covered[4:10, 2:8].all()
    assert box(-5, -5, 3, 2).draw(SIZE).sum() == 6 and box(50, 50, 60, 60).draw(SIZE).sum() == 0
    assert box(0, 0, 40, 30).draw(SIZE).all() and box(0, 0, 45, 30).beyond(SIZE) == 5


def test_an_ellipse_has_its_area():
    assert ellipse(20, 15, 15, 10).draw(SIZE).sum() == pytest.approx(np.pi * 150, rel=0.02)


def test_polygons_are_united():
    parts = (points_of([0, 0, 4, 0, 4, 4, 0, 4]), points_of([[2, 2], [6, 2], [6, 6], [2, 6]]))
    assert Polygons(parts).draw(SIZE).sum() == 28


def test_a_crop_lies_at_its_corner_and_is_cut_at_the_edge():
    stream = io.BytesIO()
    Image.fromarray(np.ones((3, 4), bool)).save(stream, "PNG")
    text = base64.b64encode(stream.getvalue()).decode()
    covered = Stored(text, (5, 6)).draw(SIZE)
    assert covered.sum() == 12 and covered[5:8, 6:10].all()
    assert Stored(text, (-1, 38)).draw(SIZE).sum() == 4
    with pytest.raises(DatasetError, match="no PNG in base64"):
        Stored("?!", (0, 0)).draw(SIZE)
    with pytest.raises(DatasetError, match=r"run lengths of 2x3 .*frame is 30x40"):
        runs([6], (2, 3), by_columns=True).draw(SIZE)


def test_points_that_are_none():
    with pytest.raises(LeftOut, match="fewer than 3"):
        points_of([])
    for values, said in (([1, 2, 3], "shape"), ([[1, 2, 3]] * 4, "shape"), ([1e9] * 6, "pixels of"), ("ab", "numbers")):
        with pytest.raises(DatasetError, match=said):
            points_of(values)
