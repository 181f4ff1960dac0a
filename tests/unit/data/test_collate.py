import torch

from vosfw.data.collate import collate
from vosfw.data.dataset import Sample
from vosfw.types import VOID, ClipMeta


def sample(slots: int, height: int, width: int) -> Sample:
    given = torch.zeros(2, slots, dtype=torch.bool)
    given[0] = True
    frames = torch.full((2, 3, height, width), 7, dtype=torch.uint8)
    labels = torch.full((2, height, width), slots, dtype=torch.uint8)
    return Sample(frames, labels, given, ClipMeta(f"v{slots}", ("0", "1"), tuple(range(slots)), (height, width), slots))


def test_pads_slots_and_sizes() -> None:
    clip = collate([sample(1, 4, 6), sample(3, 5, 2)])
    assert clip.frames.shape == (2, 2, 3, 5, 6)
    assert clip.frames.dtype == torch.uint8
    assert clip.labels.shape == (2, 2, 5, 6)
    assert (clip.frames[0, ..., :4, :] == 7).all()
    assert (clip.labels[0, :, :4] == 1).all()
    assert (clip.labels[0, :, 4:] == VOID).all()
    assert (clip.labels[1, :, :, 2:] == VOID).all()
    assert clip.valid.tolist() == [[True, False, False], [True, True, True]]
    assert torch.equal(clip.given[:, 0], clip.valid)
    assert not clip.given[:, 1].any()
    assert clip.wanted.all()
    assert [meta.video for meta in clip.meta] == ["v1", "v3"]


def test_clips_without_objects_keep_an_empty_slot() -> None:
    clip = collate([sample(0, 4, 6), sample(0, 4, 6)])
    assert clip.given.shape == (2, 2, 1)
    assert not clip.valid.any()
