"""The rules of the released code against plain loops, and what its two mistakes do."""

import pytest
import torch

from vosfw.interfaces import Previous
from vosfw.model.matcher.released import ReleasedClusterMatcher, ReleasedObjectMatcher
from vosfw.ops.kmeans import kmeans
from vosfw.ops.matching import window_distance

GENERATOR = torch.Generator().manual_seed(0)
REFERENCE, BEFORE, QUERY = torch.randn(3, 1, 3, 6, 6, generator=GENERATOR)
LABELS = torch.randint(0, 3, (6, 6), generator=GENERATOR)
VALID = torch.ones(1, 3, dtype=torch.bool)


def one_hot(labels, objects=3):
    return torch.nn.functional.one_hot(labels, objects).movedim(-1, 0)[None].float()


def match(matcher, references):
    before = BEFORE, one_hot(LABELS)
    previous = Previous(*before, matcher.index_previous(*before))
    return matcher(QUERY, [matcher.index(*reference) for reference in references], previous, VALID)[0]


def value(distance):
    """The biases are zero."""
    return 2 * torch.sigmoid(distance) - 1


def near(vectors):
    """Value of the least squared distance of each cell to some vectors."""
    return value(torch.cdist(QUERY[0].flatten(1).T, vectors).square().amin(1)).view(6, 6)


def test_means_are_over_all_references_together():
    other = LABELS.roll(2, 0)
    maps = match(ReleasedObjectMatcher([1]), [(REFERENCE, one_hot(LABELS)), (BEFORE, one_hot(other))])
    for k in range(3):
        cells = torch.cat([REFERENCE[0][:, LABELS == k], BEFORE[0][:, other == k]], 1)
        torch.testing.assert_close(maps[k, 0], near(cells.mean(1)[None]), atol=1e-4, rtol=1e-4)


def test_an_object_without_cells_is_at_zero_and_not_far():
    labels = LABELS.clamp(max=1)
    maps = match(ReleasedObjectMatcher([1]), [(REFERENCE, one_hot(labels))])
    torch.testing.assert_close(maps[2, 0], near(torch.zeros(1, 3)))


def test_means_are_painted_on_the_frame_before():
    matcher, painted = ReleasedObjectMatcher([1, 2]), torch.zeros(3, 6, 6)
    matcher.halve = False
    for k in range(3):
        painted[:, LABELS == k] = BEFORE[0][:, LABELS == k].mean(1, keepdim=True)
    wanted = value(window_distance(QUERY, painted[None], one_hot(LABELS), (2, 1)))[0]
    torch.testing.assert_close(match(matcher, [(REFERENCE, one_hot(LABELS))])[:, 1:], wanted, atol=1e-4, rtol=1e-4)


def centers(points, count):
    one = torch.zeros(1, len(points), dtype=torch.long)
    return kmeans(points[None].double(), one, 1, count, start="even", reseed=False).centers[0, 0].float()


@pytest.mark.parametrize("wrong", [True, False])
def test_clusters_of_all_references_and_their_means(wrong):
    frames, masks = (REFERENCE, BEFORE), (LABELS, LABELS.roll(2, 0))
    matcher = ReleasedClusterMatcher(4, wrong_means=wrong)
    maps = match(matcher, [(frame, one_hot(labels)) for frame, labels in zip(frames, masks, strict=True)])
    points = torch.cat([frame[0].flatten(1).T for frame in frames])
    owner = torch.cat([labels.flatten() for labels in masks])
    for k in range(3):
        own = points[owner == k]
        found = centers(own, 4)
        torch.testing.assert_close(maps[k, 0], near(found), atol=1e-4, rtol=1e-4)
        cluster = torch.cdist(own, found).argmin(1)
        rows = points[: len(own)] if wrong else own
        means = torch.stack([rows[cluster == j].mean(0) for j in cluster.unique()])
        torch.testing.assert_close(maps[k, 1], near(means), atol=1e-4, rtol=1e-4)
        # With the right cells the second map repeats the first.
        assert torch.allclose(maps[k, 0], maps[k, 1], atol=1e-4) is not wrong


def test_a_small_object_lowers_the_count_of_those_behind_it():
    labels = torch.zeros(6, 6, dtype=torch.long)
    labels[0, :2], labels[3:] = 1, 2
    sticky, own = (
        match(ReleasedClusterMatcher(4, sticky_count=s), [(REFERENCE, one_hot(labels))]) for s in (True, False)
    )
    assert torch.equal(sticky[:2], own[:2])
    points = REFERENCE[0][:, labels == 2].T
    torch.testing.assert_close(sticky[2, 0], near(centers(points, 2)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(own[2, 0], near(centers(points, 4)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sticky", [True, False])
def test_an_absent_object_makes_those_behind_it_absent(sticky):
    labels = torch.where(LABELS == 1, 2, LABELS)
    maps = match(ReleasedClusterMatcher(4, sticky_count=sticky), [(REFERENCE, one_hot(labels))])
    assert (maps[0] < 1).all() and (maps[1] == 1).all()
    assert (maps[2] == 1).all() if sticky else (maps[2] < 1).all()


def test_cells_of_none_are_left_out_also_when_objects_join():
    """And a frame in which nothing is trusted has nothing."""
    matcher, nothing = ReleasedClusterMatcher(4), torch.zeros(1, 2, 6, 6)
    assert (match(matcher, [(REFERENCE, nothing)]) == 1).all()
    masks = one_hot(LABELS.clamp(max=1), 2)
    masks[:, :, :3] = 0
    maps = match(matcher, [(REFERENCE, masks)])
    assert (maps[2] == 1).all()
    cells = REFERENCE[0][:, 3:][:, LABELS[3:] == 0].T
    torch.testing.assert_close(maps[0, 0], near(centers(cells, 4)), atol=1e-4, rtol=1e-4)


def test_gradients_reach_the_embedding_by_the_second_map_alone():
    matcher, frame = ReleasedClusterMatcher(4, wrong_means=False), REFERENCE.clone().requires_grad_()
    maps = match(matcher, [(frame, one_hot(LABELS))])
    assert maps[:, 1].requires_grad
    (grad,) = torch.autograd.grad(maps[:, 1].sum(), frame, retain_graph=True)
    assert grad.any()
    (none,) = torch.autograd.grad(maps[:, 0].sum(), frame, allow_unused=True)
    assert none is None or not none.any()
