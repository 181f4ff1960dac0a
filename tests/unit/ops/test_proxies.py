import pytest
import torch

from vosfw.ops.proxies import ObjectSums, descriptor, object_sums

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
