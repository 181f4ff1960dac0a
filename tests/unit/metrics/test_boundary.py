import numpy as np
import plain_metrics
import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.metrics import boundary_f, boundary_radius


def pixel(y, x, size=(20, 20)):
    """A frame with one pixel of object 1."""
    labels = torch.zeros(1, *size, dtype=torch.uint8)
    labels[0, y, x] = 1
    return labels


@pytest.mark.parametrize(
    ("shift", "wanted"),
    [
        # A pixel's boundary is a square of 2x2. Moved by 2 along a row with radius 1, each side matches one column;
        # moved by 3 none; moved diagonally by 1 all are matched, by 2 none (the distance is the square root of 2).
        ((0, 1), 1.0),
        ((0, 2), 0.5),
        ((0, 3), 0.0),
        ((1, 1), 0.75),
        ((2, 2), 0.0),
    ],
)
def test_worked_by_hand(shift, wanted):
    truth = pixel(10, 10)
    pred = pixel(10 + shift[0], 10 + shift[1])
    assert boundary_f(pred, truth, 1, bound_th=1.0).item() == pytest.approx(wanted, abs=1e-15)
    assert boundary_f(truth, pred, 1, bound_th=1.0).item() == pytest.approx(wanted, abs=1e-15)


def test_one_side_without_a_boundary():
    nothing, full = torch.zeros(1, 8, 8, dtype=torch.uint8), torch.ones(1, 8, 8, dtype=torch.uint8)
    dot = pixel(4, 4, (8, 8))
    assert boundary_f(nothing, full, 1).item() == 1
    assert boundary_f(dot, nothing, 1).item() == 0
    assert boundary_f(nothing, dot, 1).item() == 0
    assert boundary_f(full, dot, 1).item() == 0


@pytest.mark.parametrize("bound_th", [0.008, 0.03, 1.0, 1.5, 4.0, 80.0])
def test_equals_the_plain_one(bound_th):
    pred, truth = plain_metrics.blobs(3, 4, (60, 130))
    void = np.zeros(pred.shape, bool)
    void[1, 20:40, 30:90] = True
    wanted = torch.from_numpy(plain_metrics.j_and_f(pred, truth, 4, void, bound_th)[1])
    found = boundary_f(torch.from_numpy(pred), torch.from_numpy(truth), 4, torch.from_numpy(void), bound_th)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "bound_th", "wanted"),
    [
        ((480, 854), 0.008, 8),
        ((600, 800), 0.008, 8),
        ((1080, 1920), 0.008, 18),
        ((7, 9), 0.008, 1),
        ((480, 854), 3.0, 3),
    ],
)
def test_radius(size, bound_th, wanted):
    assert boundary_radius(size, bound_th) == wanted


@pytest.mark.parametrize("bound_th", [0.0, -1.0, float("nan"), float("inf")])
def test_a_tolerance_that_makes_no_sense(bound_th):
    with pytest.raises(ConfigError, match="bound_th must be positive"):
        boundary_radius((480, 854), bound_th)
