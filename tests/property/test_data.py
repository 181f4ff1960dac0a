from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from plain_videos import PlainVideos

from vosfw.data import sampler as module
from vosfw.data.augment import ClipAugment
from vosfw.data.collate import collate
from vosfw.data.dataset import Sample
from vosfw.data.io import read_mask, write_mask
from vosfw.data.sampler import PerClipSampler, PerFrameSampler
from vosfw.data.video import present_ids, slot_labels
from vosfw.types import VOID, ClipMeta

masks = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)))
quick = settings(max_examples=40, deadline=None)


@quick
@given(masks)
def test_masks_survive_the_disk(values: np.ndarray) -> None:
    labels = torch.from_numpy(values.copy())
    with TemporaryDirectory() as folder:
        write_mask(Path(folder) / "mask.png", labels)
        assert torch.equal(read_mask(Path(folder) / "mask.png", labels.shape), labels)


@quick
@given(masks)
def test_slots_keep_pixels_apart_and_void(values: np.ndarray) -> None:
    ids = torch.from_numpy(values.copy())
    present = present_ids(ids)
    labels = slot_labels(ids, present)
    assert torch.equal(labels == VOID, ids == VOID)
    for slot, id_ in enumerate(present):
        assert torch.equal(labels == slot + 1, ids == id_)


@quick
@given(
    lengths=st.lists(st.integers(7, 40), min_size=1, max_size=12),
    kind=st.sampled_from([PerFrameSampler, PerClipSampler]),
    skip=st.integers(1, 30),
    replicas=st.integers(1, 4),
    epoch=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_requests_are_legal_and_shared_out_once(lengths, kind, skip, replicas, epoch, seed) -> None:
    build = partial(kind, PlainVideos(lengths), max_skip=skip, repeat=2, seed=seed)
    shares = []
    with pytest.MonkeyPatch.context() as patch:
        for rank in range(replicas):
            patch.setattr(module, "process", lambda rank=rank: (rank, replicas))
            sampler = build()
            sampler.set_epoch(epoch)
            shares.append(list(sampler))
            assert len(shares[-1]) == len(sampler)
    alone = build()
    alone.set_epoch(epoch)
    in_turn = [clip for clips in zip(*shares, strict=True) for clip in clips]
    assert in_turn == list(alone)[: len(in_turn)]
    assert len(alone) - len(in_turn) < replicas
    for clip in in_turn:
        assert all(0 <= frame < lengths[clip.video] for frame in clip.frames)
        assert list(clip.frames) in (sorted(clip.frames), sorted(clip.frames, reverse=True))


@quick
@given(
    seed=st.integers(0, 2**62),
    size=st.tuples(st.integers(20, 60), st.integers(20, 60)),
    crop=st.tuples(st.integers(16, 40), st.integers(16, 40)),
    limit=st.sampled_from([1, 2, None]),
)
def test_clips_are_ready_for_training(seed, size, crop, limit) -> None:
    """Every valid slot is in the first frame, everything else is background or VOID, frames are in range."""
    draw = np.random.default_rng(seed)
    labels = torch.zeros(3, *size, dtype=torch.uint8)
    for label in (1, 2, 3, VOID):
        top, left = draw.integers(0, size[0] - 8), draw.integers(0, size[1] - 8)
        labels[:, top : top + 8, left : left + 8] = label
    frames = torch.from_numpy(draw.integers(0, 256, (3, 3, *size), dtype=np.uint8))
    slots = present_ids(labels[0])
    given_ = torch.zeros(3, len(slots), dtype=torch.bool)
    given_[0] = True
    sample = Sample(
        frames, slot_labels(labels, slots), given_, ClipMeta("clip", ("0", "1", "2"), tuple(slots), size, seed)
    )
    augment = ClipAugment(crop, max_objects=limit)
    clip = augment(collate([augment.prepare(sample)]))
    assert clip.frames.shape == (1, 3, 3, *crop)
    assert 0 <= clip.frames.min() <= clip.frames.max() <= 1
    valid = set((clip.valid[0].nonzero().flatten() + 1).tolist())
    assert set(clip.labels[0, 0].unique().tolist()) - {0, VOID} == valid
    assert set(clip.labels.unique().tolist()) - {0, VOID} <= valid
    assert torch.equal(clip.given[0, 0], clip.valid[0])
    assert not clip.given[0, 1:].any()
    assert limit is None or len(valid) <= limit
