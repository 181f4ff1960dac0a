import numpy as np
import pytest
import torch

from vosfw.data.body import ANGLES, MOVE, SHAPES, Body, Part, Wave, coverage, outlines, wave


def still(*values: float) -> Wave:
    full = np.array(values)
    return Wave(full, np.zeros_like(full), np.ones_like(full), np.zeros_like(full))


def disk(center: tuple[float, float] = (20.0, 30.0), radius: float = 8.0, **changes: object) -> Body:
    part = Part(torch.ones(ANGLES), still(0.0, 0.0, 0.0), still(0.0), still(0.0), (0.0, 0.0), (1.0, 1.0))
    body = Body(1, torch.zeros(3, 8, 8), (part,), radius, still(*center, 0.0, 0.0), still(0.0), still(1.0), ())
    return body._replace(**changes)


def test_wave() -> None:
    swing = Wave(np.array([2.0]), np.array([3.0]), np.array([np.pi / 10]), np.array([0.0]))
    assert [round(float(swing.at(t)[0]), 6) for t in (0, 5, 10, 15)] == [2, 5, 2, -1]
    drawn = wave(np.random.default_rng(0), 1.0, 0.5, (20, 30), rows=200)
    period = 2 * np.pi / np.abs(drawn.rate)
    assert 20 <= period.min() < 22
    assert 28 < period.max() <= 30


def test_a_disk_covers_its_area_where_it_is() -> None:
    cover = coverage(disk(), 0, (48, 64))
    assert cover is not None
    rows, columns, opacity, points = cover
    picture = torch.zeros(48, 64)
    picture[rows, columns] = opacity
    assert picture.sum() == pytest.approx(np.pi * 64, rel=0.03)
    y, x = (picture > 0.5).nonzero().float().mean(0)
    assert (float(y), float(x)) == (pytest.approx(20, abs=0.1), pytest.approx(30, abs=0.1))
    assert points.square().sum(-1)[opacity > 0.5].max() < 1.1


def test_the_border_cuts_and_outside_is_nothing() -> None:
    rows, columns, opacity, _ = coverage(disk((0.0, 63.0)), 0, (48, 64))
    assert (rows.start, columns.stop) == (0, 64)
    assert opacity.sum() < np.pi * 64 / 2
    assert coverage(disk((-40.0, 30.0)), 0, (48, 64)) is None
    assert coverage(disk((20.0, 90.0)), 0, (48, 64)) is None


def test_turning_moves_the_texture_points() -> None:
    turned = disk(angle=still(np.pi / 2))
    plain, other = (coverage(body, 0, (48, 64))[3] for body in (disk(), turned))
    assert torch.allclose(other[..., 0], plain[..., 1], atol=1e-5)


def test_entering_and_leaving() -> None:
    body = disk(away=((-MOVE, 1.0, 80.0), (12.0, -1.0, 80.0), (40.0, 1.0, -70.0)))
    assert body.enters == 12
    places = [float(body.center(t)[1]) for t in (0, 12, 22, 40, 50, 90)]
    assert places == [pytest.approx(p) for p in (110, 110, 30, 30, -40, -40)]
    assert 30 < body.center(17)[1] < 110
    assert disk().enters == 0


@pytest.mark.parametrize("family", [family for families in SHAPES.values() for family in families])
def test_outlines_stay_within_reach(family: str) -> None:
    for seed in range(5):
        body = disk(parts=outlines(np.random.default_rng(seed), family))
        for time in (0, 17):
            _, _, opacity, points = coverage(body, time, (48, 64))
            area = opacity.sum() / (np.pi * 64)
            assert 0.25 < area < 2.2
            assert points[opacity > 0.5].norm(dim=-1).max() < 2.5
