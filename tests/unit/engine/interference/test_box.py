import numpy as np
import pytest
import torch
from doubles import ClipDouble, Memorized, PoolDouble
from modules import MemoryVideo

from vosfw.engine.engine import Engine
from vosfw.engine.interference import NoInterference, Scene
from vosfw.engine.interference.box import Box
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError, DatasetError
from vosfw.ops.boxes import filled_boxes
from vosfw.predictor import Predictor
from vosfw.types import ObjectMasks


def drawn(text):
    """A label map of digits."""
    return torch.tensor([[int(c) for c in row] for row in text.split()], dtype=torch.uint8)


def masks_of(labels, slots):
    return ObjectMasks.from_labels(labels[None], torch.ones(1, slots, dtype=torch.bool))


def flat(masks):
    """Labels as text; pixels of several classes as x."""
    values = torch.where((masks.probs > 0).sum(1) > 1, 9, masks.probs.argmax(1))[0]
    return " ".join("".join(str(int(v)) for v in row) for row in values).replace("9", "x")


LABELS = drawn("00000 01000 00120 00200 20000")


def test_boxes_include_their_corners():
    labels = drawn("0000 0100 0001 0000")
    assert filled_boxes(labels == 1).int().tolist() == [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]
    assert not filled_boxes(torch.zeros(2, 3, 4)).any()
    assert filled_boxes(torch.tensor([[[0.0, 0.2], [0.0, 0.0]]])).sum() == 1


def test_boxes_of_objects_may_overlap():
    masks = masks_of(LABELS, 3)
    everything = Box().boxed(masks, masks.probs)
    assert flat(everything) == "00000 01100 2xx20 22220 22220"
    assert everything.probs[0, :, 2, 1].tolist() == [0, 1, 1, 0], "both have it"
    assert not everything.probs[0, 3].any(), "an absent object has an empty box"
    assert flat(Box(overlap="smaller").boxed(masks, masks.probs)) == "00000 01100 21120 22220 22220"


def test_background_is_what_no_box_covers():
    masks = masks_of(LABELS, 3)
    for overlap in ("all", "smaller"):
        probs = Box(overlap=overlap).boxed(masks, masks.probs).probs
        assert torch.equal(probs[:, 0] > 0, ~(probs[:, 1:] > 0).any(1))
    assert (Box(overlap="smaller").boxed(masks, masks.probs).probs.sum(1) == 1).all()


def remembered(video, **options):
    torch.manual_seed(0)
    model, engine = Memorized(), Engine(policy=IntervalPolicy(every=2), **options)
    with torch.no_grad():
        steps = list(engine.run(model, video, "cpu"))
    return model.seen[1:], steps


@pytest.mark.parametrize("short_side", [None, 24])
def test_memory_gets_boxes_of_the_truth_and_published_masks_stay(short_side):
    video = MemoryVideo(frames=6)
    seen, steps = remembered(video, interference=Box(), short_side=short_side)
    clean = remembered(video, short_side=short_side)[1]
    assert torch.equal(steps[2].masks.probs, clean[2].masks.probs), "nothing was damaged before frame 2"
    stream = Engine(short_side=short_side).stream(Memorized(), video.size)
    for t, masks in zip((2, 4), seen, strict=True):
        truth = stream.place_given(video.truth(t)[None], masks.valid)
        assert torch.equal(masks.probs[:, 1:] > 0, filled_boxes(truth.probs[:, 1:]))


def test_missing_truth_is_an_error_before_work_starts():
    video = MemoryVideo("cups", frames=6, masks=[0, 2, 5])
    with pytest.raises(DatasetError, match=r"'cups' has none in 1 frames \(4\).*missing=prediction"):
        next(Engine(policy=IntervalPolicy(every=2), interference=Box()).run(ClipDouble(), video, "cpu"))
    assert not video.read_in
    # Frames that memory does not get need no mask.
    assert len(remembered(MemoryVideo(frames=6, masks=[0, 2, 4]), interference=Box())[0]) == 2


def test_boxes_of_predictions_where_asked_for():
    seen, _ = remembered(MemoryVideo(frames=6, masks=[0, 2]), interference=Box(missing="prediction"))
    for masks in seen:
        assert torch.equal(filled_boxes(masks.probs[:, 1:]), masks.probs[:, 1:] > 0)
    truth = MemoryVideo(frames=6).truth(2)
    assert torch.equal(seen[0].probs[0, 1] > 0, filled_boxes(truth == 1)), "truth where there is one"


def test_streaming_takes_boxes_of_predictions_only():
    frame, mask = np.zeros((32, 40, 3), np.uint8), np.zeros((32, 40), np.uint8)
    mask[5:9, 5:20] = 1
    predictor = Predictor(ClipDouble(), engine=Engine(interference=Box()))
    predictor.add_object(mask, id=1)
    with pytest.raises(ConfigError, match="streaming"):
        predictor.step(frame)
    predictor = Predictor(ClipDouble(), engine=Engine(interference=Box(missing="prediction")))
    predictor.add_object(mask, id=1)
    assert [len(predictor.step(frame)) for _ in range(4)] == [1, 0, 0, 3]


def test_networks_that_harden_masks_take_boxes():
    engine = Engine(policy=IntervalPolicy(every=2, recent=True), mask_size="original", interference=Box())
    clean = engine.replace(interference=NoInterference())
    video = MemoryVideo(frames=6)
    one, other = ([s.masks.probs for s in e.run(PoolDouble(), video, "cpu")] for e in (engine, clean))
    assert len(one) == len(other) == 6


@pytest.mark.parametrize("options", [{"overlap": "none"}, {"missing": "skip"}])
def test_choices_are_checked(options):
    with pytest.raises(ConfigError, match="wanted"):
        Box(**options)


def test_ghost_slots_are_refused():
    video = MemoryVideo(frames=6)
    with pytest.raises(ConfigError, match="ghost_slots"):
        Box().check(Scene(Engine(ghost_slots=True), ClipDouble(), video, "cpu"))
