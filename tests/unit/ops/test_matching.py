import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vosfw.ops import matching
from vosfw.ops.matching import FAR, global_distance, least_of_others, sort_cells, window_distance

NONE = -1
"""Label of a cell that belongs to no object."""


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels_of(objects, *shape, seed=0):
    """Labels from ``NONE`` to ``objects - 1``; some objects may be absent."""
    return torch.randint(NONE, objects, shape, generator=torch.Generator().manual_seed(seed))


def one_hot(labels, objects):
    return torch.stack([labels == k for k in range(objects)], 1).float()


def plain_global(query, references, objects):
    """The whole table of distances, and the least of each object; ``references`` are pairs of embedding and labels."""
    best = [query.new_full((len(query), *query.shape[2:]), FAR)] * objects
    for embedding, labels in references:
        distance = (query[:, :, :, :, None] - embedding.flatten(2)[:, :, None, None]).square().sum(1)
        owns = [(labels.flatten(1) == k)[:, None, None] for k in range(objects)]
        best = [torch.minimum(b, torch.where(own, distance, FAR).amin(-1)) for b, own in zip(best, owns, strict=True)]
    return torch.stack(best, 1)


def plain_window(query, previous, labels, objects, radius):
    batch, _, height, width = query.shape
    best = query.new_full((batch, objects, height, width), FAR)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                for i in range(max(0, y - radius), min(height, y + radius + 1)):
                    for j in range(max(0, x - radius), min(width, x + radius + 1)):
                        k = labels[b, i, j]
                        if k != NONE:
                            distance = (query[b, :, y, x] - previous[b, :, i, j]).square().sum()
                            best[b, k, y, x] = torch.minimum(best[b, k, y, x], distance)
    return best


def sort(references, counts):
    return [sort_cells(e, one_hot(labels, n)) for (e, labels), n in zip(references, counts, strict=True)]


@pytest.fixture(params=[(64, 1024), (4, 8), (1, 3)], ids=str)
def small(request, monkeypatch):
    """Groups and blocks whose borders cut through objects and frames."""
    monkeypatch.setattr(matching, "GROUP", request.param[0])
    monkeypatch.setattr(matching, "BLOCK", {"cpu": request.param[0] * request.param[1]})


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_global_distance_is_the_least_of_a_whole_table(data):
    draw = data.draw
    batch, channels, objects = draw(st.integers(1, 2)), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    side = st.integers(1, 9)
    query = random(batch, channels, draw(side), draw(side), seed=draw(st.integers(0, 9)))
    references, counts = [], []
    for i in range(draw(st.integers(0, 3))):
        counts.append(draw(st.integers(1, objects)))
        size = draw(side), draw(side)
        references.append((random(batch, channels, *size, seed=i), labels_of(counts[-1], batch, *size, seed=i)))
    group = draw(st.sampled_from([1, 2, 5, 64]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "GROUP", group)
        patch.setattr(matching, "BLOCK", {"cpu": group * draw(st.integers(1, 4))})
        got = global_distance(query, sort(references, counts), objects)
        wanted = plain_global(query, references, objects)
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)
        query.requires_grad_()
        traced = global_distance(query, sort(references, counts), objects)
        torch.testing.assert_close(traced, wanted, atol=1e-4, rtol=1e-4)


def test_an_absent_object_is_far_and_cells_of_none_are_left_out():
    query = torch.zeros(1, 1, 1, 2)
    embedding = torch.tensor([0.0, 3.0, 1.0]).view(1, 1, 1, 3)
    labels = torch.tensor([[[NONE, 0, 2]]])
    distance = global_distance(query, [sort_cells(embedding, one_hot(labels, 3))], 3)
    assert distance[0, :, 0].tolist() == [[9, 9], [FAR, FAR], [1, 1]]


def test_without_references_everything_is_far():
    for query in (random(1, 3, 2, 2), random(1, 3, 2, 2).requires_grad_()):
        assert (global_distance(query, [], 2) == FAR).all()


def test_what_is_farther_than_far_is_far():
    embedding, labels = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1)
    assert global_distance(torch.full((1, 1, 1, 1), 1e3), [sort_cells(embedding, one_hot(labels, 1))], 1) == FAR


@pytest.mark.usefixtures("small")
def test_gradients_are_those_of_the_whole_table():
    counts, objects = (2, 4), 4
    found = []
    for plain in (True, False):
        query = random(2, 3, 4, 5).double().requires_grad_()
        embeddings = [random(2, 3, 3, 7, seed=i).double().requires_grad_() for i in range(2)]
        references = [(e, labels_of(n, 2, 3, 7, seed=n)) for e, n in zip(embeddings, counts, strict=True)]
        if plain:
            distance = plain_global(query, references, objects)
        else:
            distance = global_distance(query, sort(references, counts), objects)
        (distance * random(*distance.shape, seed=5)).clamp(-1e3, 1e3).sum().backward()
        found.append((distance.detach(), query.grad, *(e.grad for e in embeddings)))
    for got, wanted in zip(*found, strict=True):
        assert wanted.any()
        torch.testing.assert_close(got, wanted, check_dtype=False)


@pytest.mark.usefixtures("small")
def test_a_batch_is_its_videos_one_by_one():
    query, embedding, labels = random(3, 4, 3, 3), random(3, 4, 5, 5, seed=1), labels_of(3, 3, 5, 5)
    both = global_distance(query, [sort_cells(embedding, one_hot(labels, 3))], 3)
    near = window_distance(query, embedding[..., :3, :3], one_hot(labels[:, :3, :3], 3), [1, 2])
    for i in range(3):
        one = slice(i, i + 1)
        cells = sort_cells(embedding[one], one_hot(labels[one], 3))
        torch.testing.assert_close(global_distance(query[one], [cells], 3), both[one])
        alone = window_distance(query[one], embedding[one, :, :3, :3], one_hot(labels[one, :3, :3], 3), [1, 2])
        torch.testing.assert_close(alone, near[one])


def test_the_numerical_gradient_agrees():
    labels = torch.tensor([[[0, 1], [1, NONE]]])
    query, embedding = (random(1, 2, 2, 2, seed=i).double().requires_grad_() for i in range(2))

    def call(query, embedding):
        near = global_distance(query, [sort_cells(embedding, one_hot(labels, 2).double())], 2)
        return near, window_distance(query, embedding, one_hot(labels, 2), [1])

    assert torch.autograd.gradcheck(call, (query, embedding))


@pytest.mark.parametrize("radii", [[1], [3, 1, 2], [12, 2]])
def test_window_distance_is_a_search_through_every_window(radii):
    query, previous, labels = random(2, 3, 4, 5), random(2, 3, 4, 5, seed=1), labels_of(3, 2, 4, 5)
    got = window_distance(query, previous, one_hot(labels, 3), radii)
    assert got.shape == (2, 3, len(radii), 4, 5)
    for i, radius in enumerate(radii):
        wanted = plain_window(query, previous, labels, 3, radius)
        torch.testing.assert_close(got[:, :, i], wanted, atol=1e-4, rtol=1e-4)


def test_least_of_others_by_hand():
    maps = torch.tensor([[5.0, 1.0, 3.0], [2.0, 2.0, 7.0], [4.0, 0.0, 3.0]]).T[None, :, :, None, None]
    got = least_of_others(maps)[0, :, :, 0, 0].T
    assert got.tolist() == [[1, 3, 1], [2, 2, 2], [0, 3, 0]]
