"""Samples to a batch."""

from collections.abc import Sequence

import torch
from torch.nn.functional import pad

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
    frames, labels, given = [], [], []
    for sample in samples:
        right, bottom = width - sample.labels.shape[2], height - sample.labels.shape[1]
        frames.append(pad(sample.frames, (0, right, 0, bottom)))
        labels.append(pad(sample.labels, (0, right, 0, bottom), value=VOID))
        given.append(pad(sample.given, (0, slots - sample.given.shape[1])))
    batch = torch.stack(given)
    return Clip(
        frames=torch.stack(frames),
        labels=torch.stack(labels),
        given=batch,
        valid=batch.any(1),
        wanted=torch.ones(batch.shape[:2], dtype=torch.bool),
        meta=tuple(sample.meta for sample in samples),
    )
