import jaxtyping
import numpy as np
import plain_metrics
import pytest
import torch

from vosfw.errors import ConfigError, DatasetError
from vosfw.metrics import boundary_f, counts, jaccard
from vosfw.metrics.counts import count


def on_a_device(monkeypatch):
    """Make a CPU take the path of a device."""
    monkeypatch.setattr(counts, "_count_cropped", counts._count_whole)


@pytest.fixture(params=["cropped", "whole"])
def path(request, monkeypatch):
    if request.param == "whole":
        on_a_device(monkeypatch)


def same(one, other):
    """Whether all counts agree."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True) if a is not None or b is not None)


def noise(frames, size, labels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, labels, (frames, *size), generator=generator)


def test_hand_counted(path):
    pred = torch.zeros(1, 6, 7, dtype=torch.uint8)
    truth = pred.clone()
    pred[0, 2, 2] = truth[0, 2, 3] = 1
    found = count(pred, truth, 1, radius=1.0)
    # Each pixel's boundary is itself and its left, upper and upper-left neighbour; the boundaries share one column.
    assert [field.item() for field in found] == [0, 2, 4, 4, 4, 4]
    assert [None if field is None else field.item() for field in count(pred, truth, 1)] == [
        0,
        2,
        None,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("slots", "size"), [(1, (5, 64)), (2, (13, 55)), (5, (40, 130)), (60, (31, 63)), (254, (20, 65))]
)
@pytest.mark.parametrize("radius", [1.0, 8.0, 66.0])
def test_both_paths_count_the_same(monkeypatch, slots, size, radius):
    pred, truth = noise(3, size, slots + 1), noise(3, size, slots + 1, seed=1)
    pred[1], truth[2] = 0, 0
    pred[0, :, : size[1] // 2] = 1
    truth[0, 2:] = truth[0, 2:].masked_fill(truth[0, 2:] == 2, 255)
    cropped = count(pred, truth, slots, radius=radius)
    on_a_device(monkeypatch)
    assert {field.shape for field in cropped} == {(3, slots)}
    assert same(cropped, count(pred, truth, slots, radius=radius))


def test_chunks_change_nothing(path, monkeypatch):
    pred, truth = (torch.from_numpy(each) for each in plain_metrics.blobs(7, 3, (40, 70)))
    whole = count(pred, truth, 3, radius=3.0)
    monkeypatch.setattr(counts, "_CPU_CHUNK", 3 * 2 * 43 * 2 * (3 + counts._CPU_BYTES))
    parts = count(pred, truth, 3, radius=3.0)
    assert same(whole, parts)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_every_integer_type(path, dtype):
    pred, truth = (torch.from_numpy(each) for each in plain_metrics.blobs(2, 3, (30, 40)))
    wanted = count(pred, truth, 3, radius=2.0)
    found = count(pred.to(dtype), truth.to(dtype), 3, radius=2.0)
    assert same(wanted, found)


def test_labels_of_no_slot_are_background(path):
    truth = noise(1, (20, 30), 4)
    pred = noise(1, (20, 30), 4, seed=1)
    wanted = count(pred, truth, 3, radius=1.0)
    stray = torch.where(pred == 0, torch.tensor([-1, 4, 200, 255, 256, 257, 70000])[noise(1, (20, 30), 7)], pred)
    found = count(stray, truth.where(truth > 0, 9), 3, radius=1.0)
    assert same(wanted, found)


def test_void_is_background_on_both_sides(path):
    pred, truth = noise(2, (20, 70), 4), noise(2, (20, 70), 4, seed=1)
    void = noise(2, (20, 70), 2, seed=2) > 0
    wanted = count(pred.masked_fill(void, 0), truth.masked_fill(void, 0), 3, radius=1.0)
    for found in (count(pred, truth, 3, void, 1.0), count(pred, truth.masked_fill(void, 255), 3, radius=1.0)):
        assert same(wanted, found)


def test_arguments_are_left_alone(path):
    pred, truth = noise(1, (20, 30), 4).to(torch.uint8), noise(1, (20, 30), 4, seed=1).to(torch.uint8)
    before = pred.clone(), truth.clone()
    count(pred, truth, 3, noise(1, (20, 30), 2) > 0, 1.0)
    assert torch.equal(pred, before[0])
    assert torch.equal(truth, before[1])


def test_views_count_as_their_copies(path):
    pred, truth = noise(4, (20, 60), 4)[::2, :, ::2], noise(4, (20, 60), 4, seed=1)[::2, :, ::2]
    wanted = count(pred.contiguous(), truth.contiguous(), 3, radius=1.0)
    assert same(wanted, count(pred, truth, 3, radius=1.0))


@pytest.mark.parametrize(("frames", "slots"), [(0, 2), (2, 0), (0, 0)])
def test_nothing_to_count(path, frames, slots):
    labels = torch.zeros(frames, 8, 8, dtype=torch.uint8)
    assert {tuple(field.shape) for field in count(labels, labels, slots, radius=1.0)} == {(frames, slots)}
    assert jaccard(labels, labels, slots).shape == boundary_f(labels, labels, slots).shape == (frames, slots)


def test_a_pixel_in_every_corner(path):
    size = (17, 64)
    for y in (0, -1):
        for x in (0, -1):
            pred, truth = np.zeros((2, 1, *size), np.uint8)
            pred[0, y, x] = truth[0, y, x] = 1
            found = count(torch.from_numpy(pred), torch.from_numpy(truth), 1, radius=1.0)
            length = np.count_nonzero(plain_metrics.boundary(pred[0] > 0))
            assert [field.item() for field in found] == [1, 1, *[length] * 4]


def test_too_many_objects():
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    with pytest.raises(ConfigError, match="255 objects"):
        count(labels, labels, 255)


@pytest.fixture
def unchecked():
    """Run as in production, where no hook checks shapes."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_sizes_that_differ(unchecked):
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    with pytest.raises(DatasetError, match=r"prediction \(1, 8, 8\), truth \(1, 8, 9\)"):
        count(labels, torch.zeros(1, 8, 9, dtype=torch.uint8), 1)
    with pytest.raises(DatasetError, match=r"void \(2, 8, 8\)"):
        count(labels, labels, 1, torch.zeros(2, 8, 8, dtype=torch.bool))
