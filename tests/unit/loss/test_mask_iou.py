import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.loss.bootstrapped_ce import BootstrappedCE
from vosfw.loss.mask_iou import MaskIoU
from vosfw.loss.weighted import WeightedLoss
from vosfw.ops.mask_loss import mask_iou_loss
from vosfw.types import VOID

EARLY = {"start": 0, "end": 0, "ratio": 0.4}


def sample():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 6, 7, generator=generator), torch.randint(0, 3, (2, 6, 7), generator=generator)


VALID = torch.tensor([[True, True, False], [True, True, False]])


def test_slots_that_are_not_in_use_take_no_part():
    logits, labels = sample()
    got = MaskIoU()(logits, labels, VALID, 0.0)
    torch.testing.assert_close(got, MaskIoU()(logits[:, :3], labels, VALID[:, :2], 0.0))
    expected = mask_iou_loss(logits[:, :3].softmax(1), labels, torch.ones(2, 3, dtype=torch.bool))
    torch.testing.assert_close(MaskIoU().per_sample(logits, labels, VALID, 0.0), expected)


def test_a_clear_prediction_has_no_loss():
    labels = sample()[1]
    labels[:, 0] = VOID
    logits = 50.0 * torch.nn.functional.one_hot(labels.long() % VOID, 4).movedim(-1, 1)
    assert MaskIoU()(logits, labels, VALID, 0.0).item() == pytest.approx(0, abs=1e-6)


def test_weighted_sum():
    logits, labels = sample()
    parts = {"iou": MaskIoU(), "ce": BootstrappedCE(**EARLY)}
    loss = WeightedLoss(parts, {"ce": 0.5})
    expected = parts["iou"](logits, labels, VALID, 0.0) + 0.5 * parts["ce"](logits, labels, VALID, 0.0)
    torch.testing.assert_close(loss(logits, labels, VALID, 0.0), expected)
    counted = torch.tensor([[True, False, True, False]] * 2)
    expected = sum(
        weight * part.per_sample(logits, labels, VALID, 0.0, counted)
        for weight, part in ((1.0, parts["iou"]), (0.5, parts["ce"]))
    )
    torch.testing.assert_close(loss.per_sample(logits, labels, VALID, 0.0, counted), expected)


def test_the_share_of_hard_pixels_may_be_fixed():
    assert [BootstrappedCE(**EARLY).share(progress) for progress in (0.0, 0.5, 1.0)] == [0.4] * 3


@pytest.mark.parametrize("losses, weights", [({}, {}), ({"a": MaskIoU()}, {"b": 1.0}), ({"a": MaskIoU()}, {"a": -1.0})])
def test_weights_are_checked(losses, weights):
    with pytest.raises(ConfigError, match=r"loss\.weights"):
        WeightedLoss(losses, weights)
