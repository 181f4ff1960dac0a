"""From a predicted frame back to a given one: what training, correction and analysis share of the cyclic mechanism."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.interfaces import Segmenter
from vosfw.types import VOID, Features, ObjectMasks


class KnownFrame(NamedTuple):
    """A frame with given masks, to which others must lead back."""

    features: Features
    """T = 1."""
    masks: ObjectMasks
    """On the mask grid."""


def reconstruct(
    segmenter: Segmenter[Any], features: Features, masks: ObjectMasks, reference: Features
) -> Float[Tensor, "B O y x"]:
    """Logits of a reference frame, at the network's own size, from another frame and its soft masks alone.

    Cyclic training, gradient correction and cycle-ERF all rest on it (Li et al., IJCV 2022, the cyclic reference set).
    """
    logits, _ = segmenter.segment(reference, segmenter.init_state(features, masks))
    return logits[:, 0]


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No parameter takes part in gradients, so that a backward pass computes those of inputs only."""
    held = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in held:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


def as_distribution(masks: ObjectMasks) -> ObjectMasks:
    """Corrected masks as probabilities that sum to 1; every pixel keeps its winner."""
    probs = masks.probs.clamp_min(0)
    return masks._replace(probs=probs / probs.sum(1, keepdim=True).clamp_min(torch.finfo(probs.dtype).tiny))


def detached(features: Features) -> Features:
    """The same features without their graph."""
    return Features(features.frames.detach(), tuple(level.detach() for level in features.levels))


def label_map(masks: ObjectMasks, valid: Bool[Tensor, "B K"]) -> Integer[Tensor, "B Y X"]:
    """Slot + 1 per pixel; K + 1 where it belongs to no class (``mask_resize=covered``).

    It is VOID where nothing is known, or an object is shown that is no longer followed.
    """
    masks = masks.grow(slots := valid.shape[1])
    labels = torch.where(masks.probs.sum(1) > 0.5, masks.probs.max(1).indices, slots + 1)
    known = F.pad(F.pad(masks.valid & valid, (1, 0), value=True), (0, 1), value=True)
    shown = known.gather(1, labels.flatten(1)).reshape(labels.shape)
    return torch.where(shown & (masks.weight[:, 0] > 0), labels, VOID)
