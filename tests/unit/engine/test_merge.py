import torch

from vosfw.engine.merge import first_masks, merge_given
from vosfw.ops.aggregate import soft_aggregate
from vosfw.types import VOID, ObjectMasks


def predicted():
    probs = torch.tensor([[0.2, 0.7, 0.1], [0.1, 0.1, 0.8]]).T[None, :, None]  # B=1, 2 objects, 1 x 2 pixels
    return ObjectMasks(probs, torch.tensor([[True, True]]), torch.ones(1, 1, 1, 2))


def given(labels, slots):
    flags = torch.zeros(1, 3, dtype=torch.bool)
    flags[0, slots] = True
    return ObjectMasks.from_labels(torch.tensor([[labels]], dtype=torch.uint8), flags)


def test_given_pixels_win_and_the_rest_stays():
    published, remembered = merge_given(predicted(), given([3, 0], [2]), "overwrite")
    assert published is remembered
    torch.testing.assert_close(published.probs[0, :, 0, 0], torch.tensor([0.0, 0.0, 0.0, 1.0]))
    torch.testing.assert_close(published.probs[0, :, 0, 1], torch.tensor([0.1, 0.1, 0.8, 0.0]))
    assert published.valid.tolist() == [[True, True, True]]


def test_correcting_a_known_object_voids_its_prediction():
    published, _ = merge_given(predicted(), given([0, 0], [0]), "overwrite")
    torch.testing.assert_close(published.probs[0, :, 0, 0], torch.tensor([2 / 3, 0.0, 1 / 3, 0.0]))


def test_reaggregation_covers_the_whole_frame():
    published, _ = merge_given(predicted(), given([3, 0], [2]), "reaggregate")
    fresh = soft_aggregate(torch.tensor([[[0.1], [0.8], [0.0]]]), torch.ones(1, 3, dtype=torch.bool)).softmax(1)
    torch.testing.assert_close(published.probs[0, :, 0, 1], fresh[0, :, 0])
    assert published.probs[0, 3, 0, 0] > 0.999


def test_memory_may_get_the_given_masks_alone():
    masks = predicted()
    published, remembered = merge_given(masks, given([3, 0], [2]), "replace_in_memory")
    torch.testing.assert_close(published.probs[:, :3], masks.probs)
    assert remembered.probs[0, 3, 0, 0] == 1.0
    assert remembered.valid.tolist() == [[True, True, True]]  # the others are in memory, empty


def test_first_masks_and_void():
    masks = given([1, VOID], [0])
    assert masks.weight[0, 0, 0].tolist() == [1.0, 0.0]
    assert first_masks(masks, "overwrite") is masks
    soft = first_masks(masks, "reaggregate").probs
    assert 1 - 1e-5 < soft[0, 1, 0, 0] < 1.0 + 1e-6
