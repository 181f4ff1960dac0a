import pytest
import torch

from vosfw.ops import proxies
from vosfw.ops.matching import FAR
from vosfw.ops.proxies import ObjectSums, Proxies, descriptor, object_sums, proxy_distance

EMBEDDING = torch.tensor([[1.0, 3.0, 5.0, 7.0], [0.0, 2.0, 4.0, 10.0]]).view(1, 2, 1, 4)
MASKS = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]).view(1, 3, 1, 4).float()
"""Two cells of the background, one of an object, an absent object, and a cell of none."""


def test_means_inside_and_outside_by_hand():
    found = descriptor(object_sums(EMBEDDING, MASKS))[0]
    wanted = [[2, 1, 6, 7], [5, 4, 11 / 3, 4], [0, 0, 4, 4]]
    torch.testing.assert_close(found, torch.tensor(wanted), atol=1e-4, rtol=1e-4)


def test_a_cell_of_none_is_part_of_all_surroundings():
    other = EMBEDDING.clone()
    other[..., 3] = 0
    found = [descriptor(object_sums(x, MASKS))[0] for x in (EMBEDDING, other)]
    assert torch.equal(found[0][:, :2], found[1][:, :2])
    assert (found[0][:, 2:] > found[1][:, 2:]).all()


def test_sums_of_frames_add_up_to_those_of_one_long_frame():
    generator = torch.Generator().manual_seed(0)
    parts = [(torch.rand(2, 3, 2, n, generator=generator), torch.rand(2, 4, 2, n, generator=generator)) for n in (3, 5)]
    added = ObjectSums(*(sum(pair) for pair in zip(*(object_sums(*part) for part in parts), strict=True)))
    whole = object_sums(*(torch.cat(pair, 3) for pair in zip(*parts, strict=True)))
    for a, b in zip(added, whole, strict=True):
        torch.testing.assert_close(a, b)


def test_an_object_that_fills_the_frame_has_finite_surroundings():
    sums = object_sums(EMBEDDING, torch.ones(1, 1, 1, 4))
    assert descriptor(sums)[0, 0].tolist() == pytest.approx([4, 4, 0, 0], abs=1e-4)


def test_gradients_reach_the_embedding():
    embedding = EMBEDDING.double().requires_grad_()
    # Sums are taken in float32.
    assert torch.autograd.gradcheck(
        lambda x: descriptor(object_sums(x, MASKS)), (embedding,), eps=1e-2, atol=1e-3, rtol=1e-2
    )


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def some(objects, count, seed):
    """Proxies of which an object has one at least, but for the last."""
    used = random(2, objects, count, seed=seed) > 0
    used[..., 0], used[:, -1] = True, False
    return Proxies(random(2, objects, count, 5, seed=seed + 1), used)


def plain(query, frames, objects):
    """The least of all, in a loop."""
    found = torch.full((len(query), objects, *query.shape[2:]), FAR)
    for vectors, used in frames:
        for b in range(len(query)):
            for k in range(vectors.shape[1]):
                for j in range(vectors.shape[2]):
                    if used[b, k, j]:
                        far = (query[b] - vectors[b, k, j][:, None, None]).square().sum(0)
                        found[b, k] = torch.minimum(found[b, k], far)
    return found


@pytest.mark.parametrize("block", [1, 2**18])
def test_distance_to_the_nearest_proxy_in_a_loop(block, monkeypatch):
    """Of frames with fewer objects and other numbers of proxies, in blocks of any size."""
    monkeypatch.setattr(proxies, "BLOCK", {"cpu": block})
    query, frames = random(2, 5, 3, 4), [some(2, 4, 1), some(4, 1, 2), some(3, 6, 3)]
    found = proxy_distance(query, frames, 4)
    torch.testing.assert_close(found, plain(query, frames, 4), atol=1e-4, rtol=1e-4)
    assert (found[:, 3] == FAR).all() and (found[:, :2] < FAR).all()


def test_without_frames_everything_is_far():
    assert (proxy_distance(random(2, 5, 3, 4), [], 3) == FAR).all()


def test_a_proxy_that_is_not_used_is_far_whatever_it_holds():
    vectors, used = random(1, 2, 3, 5), torch.tensor([[[True, True, False]] * 2])
    other = vectors.clone()
    other[:, :, 2] = 0
    query = torch.zeros(1, 5, 2, 2)
    one, two = (proxy_distance(query, [Proxies(v, used)], 2) for v in (vectors, other))
    assert torch.equal(one, two) and (two > 0).all()


def test_gradients_reach_the_query_and_the_nearest_proxy():
    query = torch.tensor([0.0, 5.0]).view(1, 1, 1, 2).requires_grad_()
    vectors = torch.tensor([1.0, 3.0, 9.0]).view(1, 1, 3, 1).requires_grad_()
    used = torch.tensor([[[True, True, True]]])
    proxy_distance(query, [Proxies(vectors, used)], 1).sum().backward()
    # (0 - 1) ** 2 and (5 - 3) ** 2.
    assert query.grad.flatten().tolist() == [-2, 4] and vectors.grad.flatten().tolist() == [2, -4, 0]
