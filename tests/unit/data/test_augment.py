import math

import pytest
import torch

from vosfw.data.augment import ClipAugment
from vosfw.data.collate import collate
from vosfw.data.dataset import ClipRequest, Sample
from vosfw.data.synthetic import SyntheticDataset
from vosfw.errors import ConfigError
from vosfw.types import VOID, Clip, ClipMeta

STILL = {
    "scale": (1.0, 1.0),
    "ratio": (1.0, 1.0),
    "flip": 0,
    "jitter": (0, 0, 0, 0),
    "gray": 0,
    "rotation": 0,
    "shear": 0,
    "frame_jitter": (0, 0, 0, 0),
}


def squares(seed: int = 0, size: tuple[int, int] = (48, 64), frames: int = 3) -> Sample:
    """Three coloured rectangles on black; label and colour tell the object, and a VOID corner."""
    pictures = torch.zeros(frames, 3, *size, dtype=torch.uint8)
    labels = torch.zeros(frames, *size, dtype=torch.uint8)
    for slot, (rows, columns) in enumerate(
        [(slice(6, 22), slice(4, 24)), (slice(26, 44), slice(10, 30)), (slice(10, 40), slice(40, 60))]
    ):
        pictures[:, slot, rows, columns] = 240
        labels[:, rows, columns] = slot + 1
    labels[:, :4, -4:] = VOID
    given = torch.zeros(frames, 3, dtype=torch.bool)
    given[0] = True
    return Sample(pictures, labels, given, ClipMeta("squares", ("0", "1", "2")[:frames], (5, 6, 7), size, seed))


def augmented(augment: ClipAugment, *seeds: int) -> Clip:
    return augment(collate([augment.prepare(squares(seed)) for seed in seeds]))


def test_nothing_but_scaling_keeps_pixels() -> None:
    clip = augmented(ClipAugment(crop=(48, 64), max_objects=None, **STILL), 3)
    plain = squares()
    assert torch.allclose(clip.frames[0], plain.frames / 255, atol=1e-6)
    assert torch.equal(clip.labels[0], plain.labels)
    assert clip.valid.tolist() == [[True] * 3]


def test_resizes_to_the_crop() -> None:
    clip = augmented(ClipAugment(crop=(24, 32), max_objects=None, **STILL), 0)
    assert clip.frames.shape == (1, 3, 3, 24, 32)
    assert clip.labels.shape == (1, 3, 24, 32)
    assert clip.frames.dtype == torch.float32
    assert torch.equal(clip.labels[0], squares().labels[:, 1::2, 1::2])
    assert clip.frames.min() >= 0
    assert clip.frames.max() <= 1


def test_frames_and_labels_move_together() -> None:
    clip = augmented(ClipAugment(crop=(48, 64), max_objects=None), *range(12))
    for pictures, labels, meta in zip(clip.frames, clip.labels, clip.meta, strict=True):
        bright = pictures.amax(1) > 0.5
        for slot, id_ in enumerate(meta.ids):
            inside = labels == slot + 1
            if inside.sum() > 60:
                color = pictures.movedim(1, 0)[:, inside].mean(1)
                gray = (color.max() - color.min()) < 0.05
                assert gray or color.argmax() == id_ - 5
        background = (labels == 0) & ~bright
        assert background.any()


def test_flip_mirrors() -> None:
    left = augmented(ClipAugment(crop=(48, 64), max_objects=None, **STILL), 1)
    right = augmented(ClipAugment(crop=(48, 64), max_objects=None, **{**STILL, "flip": 1}), 1)
    assert torch.allclose(right.frames, left.frames.flip(-1))
    assert torch.equal(right.labels, left.labels.flip(-1))


def test_clips_do_not_depend_on_their_batch_or_on_global_randomness() -> None:
    augment = ClipAugment(crop=(32, 32))
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    together = augmented(augment, 1, 2, 3)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    for place, seed in enumerate((1, 2, 3)):
        alone = augmented(augment, seed)
        slots = alone.valid.shape[1]
        assert torch.equal(alone.frames[0], together.frames[place])
        assert torch.equal(alone.labels[0], together.labels[place])
        assert torch.equal(alone.valid[0], together.valid[place, :slots])
        assert alone.meta[0] == together.meta[place]
    assert not torch.equal(together.frames[0], together.frames[1])


def test_shared_choices_are_the_same_for_all_frames() -> None:
    shared = ClipAugment(crop=(32, 32), rotation=0, shear=0, frame_jitter=(0, 0, 0, 0), jitter=(0.5, 0.5, 0.5, 0.5))
    clip = augmented(shared, *range(6))
    assert torch.equal(clip.frames, clip.frames[:, :1].expand_as(clip.frames))
    assert torch.equal(clip.labels, clip.labels[:, :1].expand_as(clip.labels))


@pytest.mark.parametrize("options", [{"rotation": 15.0}, {"shear": 10.0}, {"frame_jitter": (0.3, 0.0, 0.0, 0.0)}])
def test_frames_differ_by_their_own_choices(options: dict[str, object]) -> None:
    clip = augmented(ClipAugment(crop=(32, 32), **{**STILL, **options}), *range(4))
    assert all(not torch.equal(pictures[0], pictures[1]) for pictures in clip.frames)
    assert torch.equal(clip.labels[:, 0], clip.labels[:, 1]) == ("frame_jitter" in options)


def test_uncovered_area_is_filled() -> None:
    augment = ClipAugment(crop=(48, 64), fill=(0, 0, 200), **{**STILL, "rotation": 15.0})
    clip = augmented(augment, *range(8))
    corners = torch.stack([clip.frames[..., y, x] for y in (0, -1) for x in (0, -1)])
    filled = (corners - torch.tensor([0, 0, 200 / 255])).abs().amax(-1) < 1e-3
    assert filled.float().mean() > 0.3
    place = filled.nonzero()
    labels = torch.stack([clip.labels[..., y, x] for y in (0, -1) for x in (0, -1)])
    assert not labels[tuple(place.T)].any()


def test_rotation_angle() -> None:
    """A horizontal edge through the middle turns by the drawn angle."""
    frames = torch.zeros(1, 3, 65, 65, dtype=torch.uint8)
    labels = torch.zeros(1, 65, 65, dtype=torch.uint8)
    labels[:, 32:] = 1
    given = torch.ones(1, 1, dtype=torch.bool)
    augment = ClipAugment(crop=(65, 65), **{**STILL, "rotation": 15.0})
    sample = augment.prepare(Sample(frames, labels, given, ClipMeta("edge", ("0",), (1,), (65, 65), 4)))
    angle = float(augment.draw(sample.meta.seed, (65, 65), 1).angles[0])
    turned = augment(collate([sample])).labels[0, 0]
    heights = [(turned[8:57, x] == 0).sum() for x in (16, 48)]
    assert abs(angle) > 3
    assert abs(math.degrees(math.atan2(float(heights[1] - heights[0]), 32))) == pytest.approx(abs(angle), abs=2)


def test_gray_and_jitter() -> None:
    gray = augmented(ClipAugment(crop=(48, 64), **{**STILL, "gray": 1}), 0)
    assert torch.allclose(gray.frames[:, :, 0], gray.frames[:, :, 2])
    bright = augmented(ClipAugment(crop=(48, 64), **{**STILL, "jitter": (0.9, 0, 0, 0)}), 0)
    plain = augmented(ClipAugment(crop=(48, 64), **STILL), 0)
    factor = (bright.frames[plain.frames > 0.5] / plain.frames[plain.frames > 0.5]).unique()
    assert factor.max() - factor.min() < 1e-4
    assert abs(factor.mean() - 1) > 0.01
    hue = augmented(ClipAugment(crop=(48, 64), **{**STILL, "jitter": (0, 0, 0, 0.5)}), 0)
    assert torch.allclose(hue.frames.amax(2), plain.frames.amax(2), atol=1e-4)
    assert not torch.allclose(hue.frames, plain.frames, atol=0.1)


def test_at_most_so_many_objects_at_random() -> None:
    augment = ClipAugment(crop=(48, 64), max_objects=2, **STILL)
    pairs = set()
    for seed in range(20):
        sample = augment.prepare(squares(seed))
        pairs.add(sample.meta.ids)
        assert sample.given.tolist() == [[True, True], [False, False], [False, False]]
        labels = squares().labels
        for slot, id_ in enumerate(sample.meta.ids):
            assert torch.equal(sample.labels == slot + 1, labels == id_ - 4)
        assert (sample.labels == VOID).sum() == (labels == VOID).sum()
    assert pairs == {(5, 6), (5, 7), (6, 7)}


def test_objects_that_the_crop_loses_become_background() -> None:
    augment = ClipAugment(crop=(24, 24), scale=(0.1, 0.2), max_objects=None, min_pixels=20)
    counts = set()
    for seed in range(30):
        sample = augment.prepare(squares(seed))
        clip = augment(collate([sample]))
        slots = clip.valid[0].nonzero().flatten() + 1
        counts.add(len(slots))
        assert torch.equal(clip.given[0, 0], clip.valid[0])
        for slot in slots:
            assert (clip.labels[0, 0] == slot).sum() >= 20
        assert set(clip.labels.unique().tolist()) <= {0, VOID, *slots.tolist()}
    assert {1, 2} <= counts


def test_draws_again_until_an_object_is_left() -> None:
    sample = squares()
    labels = torch.where(sample.labels == 1, 1, 0).to(torch.uint8)
    augment = ClipAugment(crop=(24, 24), scale=(0.1, 0.15), min_pixels=30)
    kept = [
        len(augment.prepare(sample._replace(labels=labels, meta=sample.meta._replace(seed=s))).meta.ids)
        for s in range(40)
    ]
    once = ClipAugment(crop=(24, 24), scale=(0.1, 0.15), min_pixels=30)
    first = [once.draw(s, (48, 64), 3).box for s in range(40)]
    hit = sum(bool((labels[0, y : y + h, x : x + w] == 1).sum() > 30) for y, x, h, w in first)
    assert sum(kept) > hit + 5


def test_a_slot_lost_on_the_device_is_dropped() -> None:
    augment = ClipAugment(crop=(48, 64), max_objects=None, **STILL)
    batch = collate([augment.prepare(squares())])
    batch.labels[0, 0][batch.labels[0, 0] == 2] = 0
    clip = augment(batch)
    assert clip.valid.tolist() == [[True, False, True]]
    assert clip.given[0, 0].tolist() == [True, False, True]
    assert clip.labels.unique().tolist() == [0, 1, 3, VOID]


def test_a_clip_without_objects_stays_background() -> None:
    sample = squares()
    empty = sample._replace(labels=torch.zeros_like(sample.labels), given=sample.given[:, :0])
    augment = ClipAugment(crop=(32, 32))
    clip = augment(collate([augment.prepare(empty._replace(meta=sample.meta._replace(ids=())))]))
    assert not clip.valid.any()
    assert not clip.labels.any()


def test_boxes_have_the_asked_area_and_shape() -> None:
    augment = ClipAugment(crop=(30, 60), scale=(0.36, 1.0), ratio=(0.75, 4 / 3))
    boxes = torch.tensor([augment.draw(seed, (120, 200), 1).box for seed in range(400)])
    top, left, height, width = boxes.T
    share, ratio = height * width / (120 * 200), width / height / 2
    assert (top + height <= 120).all()
    assert (left + width <= 200).all()
    assert share.min() > 0.34
    assert share.min() < 0.45
    assert share.max() > 0.7
    assert ratio.min() > 0.73
    assert ratio.max() < 1.36


def test_center_takes_the_largest_box() -> None:
    augment = ClipAugment(crop=(10, 10), position="center", **{**STILL, "scale": (1.0, 1.0)})
    assert augment.draw(3, (40, 60), 1).box == (0, 10, 40, 40)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": (0.0, 1.0)},
        {"scale": (0.5, 1.5)},
        {"ratio": (2.0, 1.0)},
        {"short_side": (624, 480)},
        {"short_side": (480,)},
        {"flip": 1.5},
        {"gray": -0.1},
        {"crop": (0, 32)},
        {"max_objects": 0},
        {"min_pixels": 0},
        {"jitter": (0.1, 0.1)},
        {"frame_jitter": (0.1, 0.1, 2.0, 0.0)},
    ],
)
def test_illegal_options(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ClipAugment(**options)


def test_synthetic_clips_of_another_shape() -> None:
    dataset = SyntheticDataset("train", videos=4, size=(48, 80), length=8)
    augment = ClipAugment(crop=(32, 32))
    clip = augment(collate([augment.prepare(dataset[ClipRequest(i, (0, 2, 4), i)]) for i in range(4)]))
    assert clip.frames.shape == (4, 3, 3, 32, 32)
    assert clip.valid.any(1).all()


def test_boxes_of_a_frame_brought_to_a_shorter_side() -> None:
    """CFBI: crops of 465 out of 480 to 624 pixels."""
    augment = ClipAugment(crop=(465, 465), short_side=(480, 624))
    boxes = torch.tensor([augment.draw(seed, (720, 1280), 1).box for seed in range(2000)])
    top, left, height, width = boxes.T
    assert torch.equal(height, width)
    zoom = 465 / height * 720 / 480
    assert zoom.min() < 1.01
    assert zoom.max() > 1.29
    assert zoom.min() > 0.998
    assert zoom.max() < 1.302
    # A uniform zoom, not a uniform share of the frame.
    assert abs(zoom.mean() - 1.15) < 0.008
    assert (top + height <= 720).all()
    assert (left + width <= 1280).all()
    assert left.min() < 30
    assert left.max() > 650
    standing = torch.tensor([augment.draw(seed, (1280, 720), 1).box for seed in range(50)])
    assert (standing[:, 2:] == boxes[:50, 2:]).all()


def test_a_side_smaller_than_the_crop_is_stretched() -> None:
    augment = ClipAugment(crop=(64, 48), **STILL, short_side=(48, 48), max_objects=None)
    assert augment.draw(3, (48, 64), 1).box[2:] == (48, 48)
    clip = augmented(augment, 3)
    assert clip.frames.shape == (1, 3, 3, 64, 48)


def test_frames_may_be_shrunk_without_a_filter() -> None:
    options = {"crop": (24, 32), "max_objects": None, **STILL}
    smooth, sharp = augmented(ClipAugment(**options), 0), augmented(ClipAugment(**options, antialias=False), 0)
    assert torch.equal(smooth.labels, sharp.labels)
    plain = torch.nn.functional.interpolate(squares().frames / 255, (24, 32), mode="bicubic").clamp(0, 1)
    assert torch.allclose(sharp.frames[0], plain)
    assert not torch.allclose(smooth.frames, sharp.frames, atol=1e-2)


def test_several_given_frames_keep_the_same_objects() -> None:
    sample = squares()
    sample.given[1] = True
    augment = ClipAugment(crop=(24, 24), short_side=(28, 36), max_objects=2, min_pixels=20)
    for seed in range(20):
        clip = augment(collate([augment.prepare(sample._replace(meta=sample.meta._replace(seed=seed)))]))
        assert torch.equal(clip.given[0, 0], clip.valid[0])
        assert torch.equal(clip.given[0, 1], clip.valid[0])
        assert not clip.given[0, 2].any()
