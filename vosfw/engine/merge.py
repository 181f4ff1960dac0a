"""How masks that are handed over in a frame join those predicted for it."""

import torch
from torch import Tensor

from vosfw.ops.aggregate import logits_of, soft_aggregate
from vosfw.types import ObjectMasks

MERGES = ("overwrite", "reaggregate", "replace_in_memory")


def first_masks(given: ObjectMasks, merge: str) -> ObjectMasks:
    """Masks of a frame for which nothing was predicted."""
    return reaggregate(given, given) if merge == "reaggregate" else given


def merge_given(predicted: ObjectMasks, given: ObjectMasks, merge: str) -> tuple[ObjectMasks, ObjectMasks]:
    """Published and remembered masks of a frame that was predicted and also given.

    Args:
        predicted: Masks of the objects known before.
        given: One-hot masks of the given slots; may have more slots than ``predicted``.
        merge: ``overwrite``: given pixels win (CFBI family). ``reaggregate``: so do they, then soft aggregation runs
            again over the whole frame (STCN, PCVOS). ``replace_in_memory``: memory gets the given masks alone and the
            prediction is published as it is (STM with the cyclic mechanism).
    """
    predicted = predicted.grow(given.valid.shape[1])
    if merge == "replace_in_memory":
        return predicted, given._replace(valid=predicted.valid | given.valid)
    merged = reaggregate(predicted, given) if merge == "reaggregate" else overwrite(predicted, given)
    return merged, merged


def overwrite(predicted: ObjectMasks, given: ObjectMasks) -> ObjectMasks:
    """Given pixels win; elsewhere the prediction stays, with nothing left for slots given now."""
    covered = given.probs[:, 1:].sum(1, keepdim=True) > 0.5
    rest = predicted.probs * _keep(given)
    rest = rest / rest.sum(1, keepdim=True).clamp_min(torch.finfo(rest.dtype).tiny)
    return ObjectMasks(
        torch.where(covered, given.probs, rest), predicted.valid | given.valid, predicted.weight * given.weight
    )


def reaggregate(predicted: ObjectMasks, given: ObjectMasks) -> ObjectMasks:
    """Given pixels win, then soft aggregation of the whole frame (STCN's and PCVOS's ``interact``)."""
    objects = given.probs[:, 1:]
    covered = (objects > 0.5).any(1, keepdim=True)
    valid = predicted.valid | given.valid
    foreground = torch.where(covered, objects, predicted.probs[:, 1:] * _keep(given)[:, 1:])
    return ObjectMasks(soft_aggregate(foreground, valid).softmax(1), valid, predicted.weight * given.weight)


def as_logits(masks: ObjectMasks) -> Tensor:
    """Logits whose softmax gives the masks."""
    return logits_of(masks.probs)


def _keep(given: ObjectMasks) -> torch.Tensor:
    """1 for the background and slots that are not given, 0 for given slots: their old prediction is void."""
    keep = torch.cat([torch.ones_like(given.valid[:, :1]), ~given.valid], dim=1)
    return keep[:, :, None, None].to(given.probs.dtype)
