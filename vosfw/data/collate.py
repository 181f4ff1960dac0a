"""Samples to a batch."""

from collections.abc import Sequence

import torch

from vosfw.data.dataset import Sample
from vosfw.types import VOID, Clip


def collate(samples: Sequence[Sample]) -> Clip:
    """A batch whose slots and sizes are padded to the largest, at the end, bottom and right.

    Its frames are still uint8; ``ClipAugment`` makes them RGB in 0..1 on the device. Padded slots are not valid,
    padded pixels VOID.

    Args:
        samples: Clips of equal length.
    """
    slots = max(1, *(sample.given.shape[1] for sample in samples))
    height = max(sample.labels.shape[1] for sample in samples)
    width = max(sample.labels.shape[2] for sample in samples)
    count = (len(samples), len(samples[0].frames))
    frames = torch.zeros(*count, 3, height, width, dtype=torch.uint8)
    labels = torch.full((*count, height, width), VOID, dtype=torch.uint8)
    given = torch.zeros(*count, slots, dtype=torch.bool)
    for i, sample in enumerate(samples):
        bottom, right = sample.labels.shape[1:]
        frames[i, ..., :bottom, :right] = sample.frames
        labels[i, :, :bottom, :right] = sample.labels
        given[i, :, : sample.given.shape[1]] = sample.given
    return Clip(
        frames=frames,
        labels=labels,
        given=given,
        valid=given.any(1),
        wanted=torch.ones(count, dtype=torch.bool),
        meta=tuple(sample.meta for sample in samples),
    )
