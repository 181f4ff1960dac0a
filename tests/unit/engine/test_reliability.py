import math

import pytest
import torch

from vosfw.engine.augment import Augment, AugmentedSegmenter
from vosfw.engine.reliability import EntropyReliability, NoReliability, entropy
from vosfw.errors import ConfigError
from vosfw.interfaces import Grid
from vosfw.model.copy_first import CopyFirst
from vosfw.types import ObjectMasks

PROBS = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0], [0.25, 0.25, 0.5], [1 / 3, 1 / 3, 1 / 3]]).T[None, :, None]
"""Four pixels: certain, two classes alike, three classes, three alike."""
BY_HAND = [0, math.log(2), 1.5 * math.log(2), math.log(3)]
ALL = torch.tensor([[True, True]])


def masks_of(valid=ALL, weight=None):
    return ObjectMasks(PROBS, valid, torch.ones(1, 1, 1, 4) if weight is None else weight)


def test_entropy_by_hand():
    assert entropy(PROBS, ALL)[0, 0, 0].tolist() == pytest.approx(BY_HAND, abs=1e-5)


def test_normalised_by_the_classes_in_use():
    """Two objects and the background: ln 3; with one object: ln 2; with none still finite."""
    for valid, most in (([True, True], 3), ([True, False], 2), ([False, False], 2)):
        found = entropy(PROBS, torch.tensor([valid]), normalize=True)[0, 0, 0].tolist()
        assert found == pytest.approx([h / math.log(most) for h in BY_HAND], abs=1e-5)


def test_each_video_of_a_batch_has_its_own_number_of_classes():
    valid = torch.tensor([[True, True], [True, False]])
    both = entropy(PROBS.expand(2, -1, -1, -1), valid, normalize=True)
    assert (both[1] / both[0])[0, 0, 1:].tolist() == pytest.approx([math.log(3) / math.log(2)] * 3, abs=1e-5)


@pytest.mark.parametrize(
    ("alpha", "normalize", "trusted"),
    [
        (1.0, False, [1, 1, 0, 0]),
        (0.5, False, [1, 0, 0, 0]),
        (1.05, False, [1, 1, 1, 0]),
        (0.7, True, [1, 1, 0, 0]),
        (1.0, True, [1, 1, 1, 1]),
    ],
)
def test_pixels_up_to_the_threshold_are_trusted(alpha, normalize, trusted):
    masks = masks_of()
    found = EntropyReliability(alpha, normalize=normalize)(masks)
    assert found.weight[0, 0, 0].tolist() == trusted
    assert found.probs is masks.probs and found.valid is masks.valid


def test_what_was_not_trusted_before_stays_so():
    weight = torch.tensor([0.0, 1.0, 1.0, 0.0]).view(1, 1, 1, 4)
    assert EntropyReliability(1.0)(masks_of(weight=weight)).weight[0, 0, 0].tolist() == [0, 1, 0, 0]


def test_as_released_nothing_is_rejected_with_one_object():
    probs = torch.linspace(0, 1, 11)
    masks = ObjectMasks(torch.stack([probs, 1 - probs])[None, :, None], ALL[:, :1], torch.ones(1, 1, 1, 11))
    assert EntropyReliability()(masks).weight.all()


def test_none_trusts_all():
    masks = masks_of()
    assert NoReliability()(masks) is masks


def test_a_negative_threshold():
    with pytest.raises(ConfigError, match="alpha is -1"):
        EntropyReliability(-1)


@pytest.mark.parametrize("flip", [False, True])
def test_augmented_weights_stay_with_their_masks(flip):
    """Frames of 36x20 are padded to 48x32 for this network, so that both move by 6 pixels."""
    network = CopyFirst()
    network.grid = Grid(16, "pad")
    augmented = AugmentedSegmenter(network, Augment(flip=flip))
    shown = torch.zeros(1, 1, 36, 20)
    shown[..., 12:24, 0:8] = 1
    masks = ObjectMasks(torch.cat([1 - shown, shown], 1), torch.tensor([[True]]), 1 - shown)
    for version in augmented._versions(torch.zeros(1, 1, 3, 36, 20)):
        placed = augmented._masks(masks, version)
        assert placed.weight.shape[-2:] == (48, 32) and placed.probs[:, 1:].sum() == shown.sum()
        assert torch.equal(placed.weight, 1 - placed.probs[:, 1:])
