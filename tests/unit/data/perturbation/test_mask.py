import numpy as np
import pytest

from vosfw.data.perturbation.base import Dice
from vosfw.data.perturbation.mask import (
    BoxMask,
    DilatedMask,
    ErodedMask,
    MissingObject,
    ScribbleMask,
    ShiftedMask,
)
from vosfw.types import VOID

DICE = Dice(0, "test", "video", "00000")
KINDS = [ErodedMask(0.1), DilatedMask(0.1), ShiftedMask(0.2), BoxMask(0.1), ScribbleMask(0.1)]


def square(side=20, top=30, left=40, size=(90, 120)):
    labels = np.zeros(size, np.uint8)
    labels[top : top + side, left : left + side] = 1
    return labels


def test_erosion_takes_a_rim_away():
    found = ErodedMask(0.1).spoil(square(), DICE)
    assert np.array_equal(found, square(16, 32, 42))


def test_dilation_adds_a_rim():
    found = DilatedMask(0.1).spoil(square(), DICE)
    assert found[28:52, 40:60].all() and found[30:50, 38:62].all()
    assert not found[:28].any() and not found[28, 38] and found.sum() == 400 + 4 * 40 + 4


def test_a_rim_is_a_pixel_at_least():
    assert ErodedMask(0.001).spoil(square(), DICE).sum() == 18 * 18
    assert DilatedMask(0.0).spoil(square(), DICE).sum() == 400 + 4 * 20


def test_shift():
    found = ShiftedMask(0.5).spoil(square(), DICE)
    assert found.sum() == 400
    moved = np.argwhere(found).mean(0) - np.argwhere(square()).mean(0)
    assert np.hypot(*moved) == pytest.approx(10, abs=1)


def test_a_shift_stays_in_the_picture():
    for name in map(str, range(20)):
        assert ShiftedMask(3).spoil(square(size=(60, 70), top=0, left=45), DICE._replace(frame=name)).any()


def test_box():
    disk = (np.hypot(*np.mgrid[-20:21, -20:21]) <= 10).astype(np.uint8)
    found = BoxMask(0).spoil(disk, DICE)
    assert np.array_equal(np.argwhere(found), np.argwhere(np.pad(np.ones((21, 21)), 10)))
    grown = BoxMask(0.1).spoil(disk, DICE)
    margin = round(0.1 * np.sqrt(disk.sum()))
    assert grown.sum() == (21 + 2 * margin) ** 2


def test_a_scribble_is_a_thin_line_from_end_to_end():
    labels = np.zeros((60, 200), np.uint8)
    labels[20:40, 10:190] = 1
    found = ScribbleMask(0.05).spoil(labels, DICE)
    assert not found[labels == 0].any() and 0 < found.sum() < 0.3 * labels.sum()
    columns = np.flatnonzero(found.any(0))
    assert np.ptp(columns) > 90 and np.array_equal(columns, np.arange(columns[0], columns[-1] + 1))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_no_object_is_lost_and_void_stays(kind):
    labels = square()
    labels[5, 5] = 2
    labels[70:72, 3:6] = 7
    labels[80:, 100:] = VOID
    found = kind.spoil(labels.copy(), DICE)
    assert set(np.unique(found)) == {0, 1, 2, 7, VOID}
    assert np.array_equal(found == VOID, labels == VOID)


def test_an_object_that_fills_the_frame():
    full = np.ones((20, 30), np.uint8)
    for kind in KINDS:
        assert kind.spoil(full.copy(), DICE).any()


def test_the_smaller_object_is_in_front():
    labels = square()
    labels[38:42, 48:52] = 2
    found = BoxMask(0).spoil(labels, DICE)
    assert (found == 2).sum() == 16


def test_missing_objects():
    labels = np.repeat(np.array([[0, 1, 2, 3, VOID]], np.uint8), 4, 0)
    found = MissingObject([1, 5], 1).spoil(labels.copy(), DICE)
    assert len(set(np.unique(found)) - {0, VOID}) == 2 and (found == VOID).sum() == 4
    assert len(set(np.unique(MissingObject([1, 5], 2).spoil(labels.copy(), DICE))) - {0, VOID}) == 1
    left = {tuple(np.unique(MissingObject(1).spoil(labels.copy(), DICE._replace(video=str(i))))) for i in range(20)}
    assert len(left) == 3, "any of the three"
    single = np.where(labels == 1, labels, 0)
    assert np.array_equal(MissingObject(1).spoil(single.copy(), DICE), single)
    assert not MissingObject(1).spoil(np.zeros((3, 4), np.uint8), DICE).any()
