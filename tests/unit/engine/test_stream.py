import pytest
import torch
from doubles import ClipDouble, KeyDouble, PoolDouble
from scenes import ToyVideo, make_clip

from vosfw.engine.corrector import NoCorrector
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError
from vosfw.types import Clip


class Recorder(ClipDouble):
    """Notes what the engine asks for."""

    def __init__(self, clip_length=3):
        super().__init__()
        self.clip_length = clip_length
        self.log = []

    def segment(self, features, state):
        self.log.append(("segment", features.frames.shape[1]))
        return super().segment(features, state)

    def memorize(self, features, masks, state, *, keep):
        self.log.append(("keep" if keep else "recent", tuple(masks.valid[0].tolist())))
        return super().memorize(features, masks, state, keep=keep)


def calls(video, clip_length=3, **options):
    model = Recorder(clip_length)
    with torch.no_grad():
        frames = [step.frame for step in Engine(**options).run(model, video, "cpu")]
    return frames, model.log


def test_spans_of_the_clip_length_and_no_useless_memory():
    frames, log = calls(ToyVideo(frames=8, objects=1), policy=IntervalPolicy(every=3))
    assert frames == list(range(8))
    # frame 0; 1-3 (3 is kept); 4-6 (6 is kept); 7, after which nothing is read
    assert [what for what, _ in log] == ["keep", "segment", "keep", "segment", "keep", "segment"]
    assert [size for what, size in log if what == "segment"] == [3, 3, 1]


def test_a_span_ends_with_a_frame_that_brings_an_object_and_counts_anew():
    frames, log = calls(ToyVideo(frames=8, objects=2, late={1: 5}), policy=IntervalPolicy(every=3))
    assert frames == list(range(8))
    assert [size for what, size in log if what == "segment"] == [3, 2, 2]
    assert ("keep", (True, True)) in log


def test_a_frame_whose_objects_are_all_given_is_not_segmented():
    video = ToyVideo(frames=6, objects=1)
    video.given = {0: (0,), 3: (0,)}
    model = Recorder()
    with torch.no_grad():
        steps = {step.frame: step for step in Engine().run(model, video, "cpu")}
    assert [size for what, size in model.log if what == "segment"] == [2, 2]
    assert [t for t, step in steps.items() if not step.predicted] == [0, 3]


def test_unwanted_frames_are_skipped_unless_due_for_memory():
    video = ToyVideo(frames=12, objects=1)
    video.wanted = tuple(t in (0, 4, 5, 10) for t in range(12))
    policy = {"every": 5}
    assert calls(video, 1, policy=IntervalPolicy(**policy))[0] == [0, 4, 5, 10]
    video.wanted = tuple(t in (0, 4, 11) for t in range(12))
    assert calls(video, 1, policy=IntervalPolicy(**policy, process_unwanted=True))[0] == [0, 4, 5, 10, 11]


def test_frames_before_the_first_mask_yield_nothing():
    video = ToyVideo(frames=6, objects=1)
    video.given = {2: (0,)}
    assert calls(video)[0] == [2, 3, 4, 5]


def test_published_masks_copy_given_pixels_at_any_input_size():
    video = ToyVideo(frames=4, objects=2, late={1: 2}, size=(37, 53))
    for model in (ClipDouble(), PoolDouble()):
        hard = model.grid.mode == "resize"
        options = {"merge": "overwrite", "mask_size": "original"} if hard else {}
        engine = Engine(short_side=24, **options)
        geometry = engine.geometry(video.size, model.grid)
        with torch.no_grad():
            labels = {s.frame: engine.labels(s, geometry)[0] for s in engine.run(model, video, "cpu")}
        assert torch.equal(labels[0], video.given_mask(0))
        there = video.labels[2] == 2
        assert torch.equal(labels[2][there], video.labels[2][there])


def test_streaming_equals_a_training_rollout():
    clip = make_clip(batch=1, frames=7)
    for model in (ClipDouble(), KeyDouble()):
        video = ToyVideo(frames=7, objects=2, size=(32, 40))
        video.images = (clip.frames[0] * 255).round().to(torch.uint8)
        video.labels = clip.labels[0]
        same = clip._replace(frames=video.images[None].float() / 255)
        engine = Engine(policy=IntervalPolicy(every=2))
        with torch.no_grad():
            streamed = [step.masks.probs for step in engine.run(model, video, "cpu")]
            rolled = [step.masks.probs for step in engine.propagate(model, same)]
        for a, b in zip(streamed, rolled, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_the_training_triple():
    """Reference and previous frame both given: only the first is a reference, the second is not segmented."""
    clip = make_clip(frames=3)
    given = clip.given.clone()
    given[:, 1] = True
    triple: Clip = clip._replace(given=given)
    model = PoolDouble()
    policy = IntervalPolicy(every=None, given="introducing", recent=True)
    engine = Engine(policy=policy, merge="overwrite", mask_size="original", resize_of="logits")
    steps = list(engine.propagate(model, triple))
    assert [step.predicted for step in steps] == [False, False, True]
    assert steps[2].state.keys.shape[1] == steps[0].state.keys.shape[1]
    assert not torch.equal(steps[2].state.previous, steps[0].state.previous)


def test_truth_as_feedback():
    clip = make_clip(frames=4)
    model = KeyDouble()
    engine = Engine(policy=IntervalPolicy(every=1), feedback="truth")
    state = list(engine.propagate(model, clip))[-1].state
    teacher = Engine(policy=IntervalPolicy(every=1)).propagate(model, clip)
    assert not torch.equal(state.buckets[0].value, list(teacher)[-1].state.buckets[0].value)


def test_objects_from_the_start():
    clip = make_clip(frames=3, slots=2)
    given = clip.given.clone()
    given[:, 0, 1] = False
    step = next(iter(Engine(introduce="from_start").propagate(KeyDouble(), clip._replace(given=given))))
    assert step.masks.valid.all()


def test_objects_from_the_start_of_a_video():
    """Every object of the video takes part from its first frame on, whenever it is given."""
    video = ToyVideo(frames=6, objects=2, late={1: 3})
    engine = Engine(introduce="from_start", merge="replace_in_memory")
    with torch.no_grad():
        steps = list(engine.run(KeyDouble().eval(), video, "cpu"))
    assert [step.masks.probs.shape[1] for step in steps] == [3] * 6
    assert [step.masks.valid.tolist() for step in steps] == [[[True, True]]] * 6
    assert not steps[0].masks.probs[0, 2].any()
    assert [step.predicted for step in steps] == [False, *[True] * 5]


def test_objects_from_the_start_outlive_a_frame_whose_known_objects_are_all_given():
    video = ToyVideo(frames=8, objects=3, late={2: 6})
    video.given = {0: (0, 1), 3: (0, 1), 6: (2,)}
    engine = Engine(introduce="from_start", policy=IntervalPolicy(recent=True))
    with torch.no_grad():
        steps = list(engine.run(KeyDouble(), video, "cpu"))
    assert [step.predicted for step in steps] == [t not in (0, 3) for t in range(8)]
    assert all(step.masks.valid.all() for step in steps)


@pytest.mark.parametrize("given", ["scheduled", "none"])
def test_a_new_object_is_remembered_whatever_the_policy(given):
    video = ToyVideo(frames=8, objects=3, late={1: 3, 2: 4})
    policy = IntervalPolicy(every=5, anchor="start", given=given, recent=False)
    with torch.no_grad():
        steps = list(Engine(policy=policy).run(ClipDouble(), video, "cpu"))
    assert [step.masks.probs.shape[1] for step in steps] == [2, 2, 2, 3, 4, 4, 4, 4]


def test_masks_that_cover_a_pixel():
    """``covered``: on the border between two classes a resized pixel belongs to none."""
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    labels[:, :, 3:] = 1
    given = torch.ones(1, 1, dtype=torch.bool)
    masks = {}
    for how in ("nearest", "covered"):
        stream = Engine(short_side=4, mask_resize=how).stream(KeyDouble(), (8, 8))
        masks[how] = stream.place_given(labels, given).probs[0, :, 3, 2:6]  # the network pads 4 to 8
    assert masks["nearest"].tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert masks["covered"].tolist() == [[1, 0, 0, 0], [0, 0, 1, 1]]


class Doubter(NoCorrector):
    """Replaces every second mask by background."""

    needs_reference = True

    def __init__(self, publishes):
        self.publishes = publishes
        self.references = []

    def due(self, t):
        return t % 2 == 0

    def __call__(self, segmenter, features, masks, reference, resize):
        self.references.append(reference.features)
        probs = torch.zeros_like(masks.probs)
        probs[:, 0] = 1
        return masks._replace(probs=probs)


@pytest.mark.parametrize("publishes", [False, True])
def test_the_corrector_changes_memory_and_publishes_only_if_told(publishes):
    corrector = Doubter(publishes)
    engine = Engine(policy=IntervalPolicy(every=1), corrector=corrector)
    with torch.no_grad():
        steps = list(engine.run(Recorder(1), ToyVideo(frames=5), "cpu"))
    assert len(corrector.references) == 2
    assert (steps[2].masks.probs[:, 1:].sum() == 0) == publishes
    assert steps[1].masks.probs[:, 1:].sum() > 0


def test_padding_networks_refuse_masks_at_original_size():
    with pytest.raises(ConfigError, match="mask_size=input"):
        Engine(mask_size="original").stream(ClipDouble(), (30, 41))


@pytest.mark.parametrize("options", [{"merge": "mix"}, {"clip_length": 0}, {"resize_mode": "area"}, {"short_side": -1}])
def test_bad_options_are_refused(options):
    with pytest.raises(ConfigError, match=f"engine.{next(iter(options))}"):
        Engine(**options)


def test_replace_keeps_everything_else():
    engine = Engine(policy=IntervalPolicy(every=7), resize_of="logits").replace(short_side=120)
    assert (engine.policy.every, engine.resize_of, engine.short_side) == (7, "logits", 120)
    with pytest.raises(ConfigError, match="no option side"):
        engine.replace(side=3)
