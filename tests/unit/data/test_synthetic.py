import pickle

import pytest
import torch

from vosfw.data.body import SHAPES
from vosfw.data.sampler import ClipRequest
from vosfw.data.synthetic import SPLITS, SyntheticDataset
from vosfw.data.texture import PATTERNS
from vosfw.errors import ConfigError

SMALL = {"size": (48, 64), "length": 12}


def iou(first: torch.Tensor, second: torch.Tensor) -> float:
    return ((first & second).sum() / (first | second).sum().clamp(min=1)).item()


def test_frames_are_a_pure_function_of_seed_and_number() -> None:
    dataset = SyntheticDataset("train", videos=2, late=1, leave=1, **SMALL)
    video = dataset.video(1)
    in_order = [video.read(t) for t in range(12)]
    again = pickle.loads(pickle.dumps(SyntheticDataset("train", videos=2, late=1, leave=1, **SMALL))).video(1)
    for t in (7, 3, 11, 0):
        frame, ids = again.read(t)
        assert torch.equal(frame, in_order[t][0])
        assert torch.equal(ids, in_order[t][1])
        assert torch.equal(again.id_map(t), ids)
        assert torch.equal(again.frame(t), frame)


def test_pickles_without_its_scene() -> None:
    video = SyntheticDataset("train", **SMALL).video(0)
    video.frame(0)
    assert len(pickle.dumps(video)) < 2000


def test_seeds_videos_and_splits_differ() -> None:
    frames = [
        SyntheticDataset(split, videos=2, seed=seed, **SMALL).video(index).frame(0)
        for split in SPLITS
        for seed in (0, 1)
        for index in (0, 1)
    ]
    for i, first in enumerate(frames):
        assert all((first.float() - second.float()).abs().mean() > 5 for second in frames[i + 1 :])


@pytest.mark.parametrize("families", [PATTERNS, SHAPES])
def test_splits_share_no_family(families: dict[str, tuple[str, ...]]) -> None:
    names = [name for split in SPLITS for name in families[split]]
    assert len(set(names)) == len(names)
    assert all(len(families[split]) >= 2 for split in SPLITS)


@pytest.mark.parametrize("split", SPLITS)
def test_number_of_objects(split: str) -> None:
    dataset = SyntheticDataset(split, videos=12, objects=(2, 4), **SMALL)
    counts = {len(dataset.video(i).ids) for i in range(12)}
    assert counts <= {2, 3, 4}
    assert len(counts) > 1


@pytest.mark.parametrize("split", SPLITS)
def test_objects_move_too_far_for_a_copy_of_the_first_mask(split: str) -> None:
    dataset = SyntheticDataset(split, videos=10, length=24)
    near, far = [], []
    for index in range(10):
        video = dataset.video(index)
        masks = [video.truth(t) for t in (0, 1, 12)]
        for slot in video.given[0]:
            shown = [mask == slot + 1 for mask in masks]
            near.append(iou(shown[0], shown[1]))
            far.append(iou(shown[0], shown[2]))
    assert torch.tensor(near).mean() > 0.5
    assert torch.tensor(far).mean() < 0.25


def test_frames_show_the_objects_where_the_masks_say() -> None:
    """Between neighbouring frames, pixels that change hands change colour more than those that do not."""
    dataset = SyntheticDataset("train", videos=6, distractors=0, **SMALL)
    changed, same = [], []
    for index in range(6):
        video = dataset.video(index)
        (first, before), (second, after) = video.read(0), video.read(2)
        difference = (first.float() - second.float()).abs().mean(0)
        changed.append(difference[before != after].mean())
        same.append(difference[(before == after) & (before == 0)].mean())
    assert torch.stack(changed).mean() > 1.5 * torch.stack(same).mean()


def test_late_objects_join_when_they_are_in_view() -> None:
    dataset = SyntheticDataset("test", videos=8, objects=(3, 3), late=1, distractors=0, length=40, size=(48, 64))
    joins = [dataset.video(i).introduced for i in range(8)]
    assert all(frames[1] == 0 for frames in joins)
    assert all(start > 0 for frames in joins for id_, start in frames.items() if id_ > 1)
    assert sum(len(frames) for frames in joins) > 18
    video = dataset.video(0)
    slot, start = len(video.ids) - 1, list(video.introduced.values())[-1]
    assert (video.given_mask(start) == slot + 1).sum() > 20
    assert not (video.truth(start - 1) == slot + 1).any()


def test_objects_leave_and_some_return() -> None:
    dataset = SyntheticDataset("val", videos=10, objects=(1, 1), leave=1, distractors=0, length=60, size=(48, 64))
    gone, back = 0, 0
    for index in range(10):
        video = dataset.video(index)
        seen = [bool((video.id_map(t) == 1).any()) for t in range(60)]
        assert seen[0]
        gone += not all(seen)
        back += not all(seen) and seen[-1]
    assert gone == 10
    assert 1 <= back <= 9


def test_distractors_are_not_labelled() -> None:
    plain, crowded = (SyntheticDataset("train", videos=1, distractors=p, **SMALL).video(0) for p in (0, 1))
    assert len(crowded._scene.bodies) > len(plain._scene.bodies)
    assert set(crowded.id_map(0).unique().tolist()) <= {0, *crowded.ids}


def test_any_frame_of_a_long_video() -> None:
    video = SyntheticDataset("test", videos=1, length=2000, size=(48, 64)).video(0)
    frame, ids = video.read(1999)
    assert frame.shape == (3, 48, 64)
    assert frame.float().std() > 10
    assert ids.dtype == torch.uint8


def test_larger_pictures_show_the_same_kind_of_world() -> None:
    video = SyntheticDataset("test", videos=1, size=(240, 432), length=3).video(0)
    share = (video.truth(0) > 0).float().mean()
    assert 0.01 < share < 0.5


def test_clip() -> None:
    sample = SyntheticDataset("train", videos=1, objects=(2, 2), **SMALL)[ClipRequest(0, (0, 5, 3), 3)]
    assert sample.frames.shape == (3, 3, 48, 64)
    assert sample.meta.ids == (1, 2)
    assert sample.labels[0].unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "options",
    [
        {"split": "minival"},
        {"objects": (0, 2)},
        {"objects": (3, 2)},
        {"videos": 0},
        {"size": (96, 16)},
        {"late": 1.5},
        {"speed": 0},
    ],
)
def test_illegal_options(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError) if "split" not in options else pytest.raises(Exception, match="split"):
        SyntheticDataset(**options)
