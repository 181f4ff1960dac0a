"""Windows over time and space, against the same with every cell's way followed by hand."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vosfw.ops.windows import APART, Windows, relative_index, separation

CPU = torch.device("cpu")
sides = st.tuples(st.integers(1, 6), st.integers(1, 11), st.integers(1, 11))
windows_of = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))


@st.composite
def plans(draw):
    return Windows.plan(draw(sides), draw(windows_of), shifted=draw(st.booleans()))


def numbered(windows):
    """The cells' numbers from 1, padding 0, cut into windows."""
    cells = torch.arange(1.0, 1 + windows.size[0] * windows.size[1] * windows.size[2])
    return windows.split(cells.reshape(1, *windows.size, 1))[0, :, :, 0].long()


def places(windows):
    """By hand: the cell of the padded map that each place of each window shows, before it was rolled."""
    lengths = [n * side for n, side in zip(windows.counts, windows.window, strict=True)]
    for corner in product(*map(range, windows.counts)):
        yield [
            tuple(
                (c * side + i + shift) % length
                for c, side, i, shift, length in zip(
                    corner, windows.window, inside, windows.shift, lengths, strict=True
                )
            )
            for inside in product(*map(range, windows.window))
        ]


@given(plans(), st.integers(1, 3), st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_join_undoes_split(windows, channels, batch):
    x = torch.randn(batch, *windows.size, channels)
    a, b, c = windows.counts
    i, j, k = windows.window
    cut = windows.split(x)
    assert cut.shape == (batch, a * b * c, i * j * k, channels)
    assert torch.equal(windows.join(cut), x)


@given(plans())
@settings(max_examples=60, deadline=None)
def test_every_cell_is_where_it_belongs(windows):
    found = numbered(windows)
    for window, cells in zip(found.tolist(), places(windows), strict=True):
        for number, place in zip(window, cells, strict=True):
            inside = all(at < side for at, side in zip(place, windows.size, strict=True))
            t, y, x = place
            wanted = 1 + (t * windows.size[1] + y) * windows.size[2] + x if inside else 0
            assert number == wanted


@given(plans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_cells_meet_their_neighbours_only(windows, padding):
    """Two cells of a window belong together if they are as far apart as they were before the roll."""
    found = separation(windows, CPU, padding=padding)
    cells = windows.window[0] * windows.window[1] * windows.window[2]
    count = windows.counts[0] * windows.counts[1] * windows.counts[2]
    mask = torch.zeros(count, cells, cells) if found is None else found
    inside = list(product(*map(range, windows.window)))
    for w, own in enumerate(places(windows)):
        for (i, one), (j, two) in product(enumerate(own), repeat=2):
            together = all(a - b == c - d for a, b, c, d in zip(one, two, inside[i], inside[j], strict=True))
            # Padding that takes no part is seen by nobody.
            real = all(at < side for at, side in zip(two, windows.size, strict=True))
            assert mask[w, i, j] == (0.0 if together and (padding or real) else APART)


def test_nothing_is_added_where_nothing_is_apart():
    assert separation(Windows.plan((4, 14, 14), (2, 7, 7), shifted=False), CPU, padding=False) is None
    assert separation(Windows.plan((5, 9, 9), (2, 7, 7), shifted=False), CPU, padding=True) is None
    assert separation(Windows.plan((5, 9, 9), (2, 7, 7), shifted=False), CPU, padding=False) is not None
    assert separation(Windows.plan((4, 14, 14), (2, 7, 7), shifted=True), CPU, padding=True) is not None


@given(windows_of, st.data())
@settings(max_examples=60, deadline=None)
def test_relative_positions(full, data):
    window = tuple(data.draw(st.integers(1, side)) for side in full)
    found = relative_index(window, full, "exact", CPU)
    rows = list(product(*(range(1 - side, side) for side in full)))
    inside = list(product(*map(range, window)))
    wanted = [[rows.index(tuple(a - b for a, b in zip(one, two, strict=True))) for two in inside] for one in inside]
    assert found.tolist() == wanted


@pytest.mark.parametrize(
    ("window", "same"), [((1, 7, 7), True), ((2, 7, 7), True), ((2, 4, 7), False), ((2, 7, 4), False)]
)
def test_the_upper_left_corner(window, same):
    """As released: right where the time alone is clamped."""
    full = (2, 7, 7)
    cells = window[0] * window[1] * window[2]
    corner = relative_index(window, full, "corner", CPU)
    assert torch.equal(corner, relative_index(full, full, "exact", CPU)[:cells, :cells])
    assert torch.equal(corner, relative_index(window, full, "exact", CPU)) == same


def test_a_window_that_covers_an_axis():
    plan = Windows.plan((2, 30, 5), (2, 7, 7), shifted=True)
    assert (plan.window, plan.shift, plan.counts) == ((2, 7, 5), (0, 3, 0), (1, 5, 1))
    assert Windows.plan((5, 30, 54), (2, 7, 7), shifted=True).counts == (3, 5, 8)
    assert Windows.plan((1, 30, 54), (2, 7, 7), shifted=True).window == (1, 7, 7)
    assert Windows.plan((3, 30, 54), (2, 7, 7), shifted=False).shift == (0, 0, 0)
