"""Streaming equals offline: PCVOS fed frame by frame, the engine on the whole video, and both done by hand."""

import functools
from types import SimpleNamespace

import pytest
import torch
from plain_clips import Remembered, clip_cut, what_counts
from runs import SMALL_PCVOS
from scenes import ToyVideo

from vosfw.config import compose, instantiate, instantiate_model
from vosfw.engine.corrector import GradientCorrector
from vosfw.engine.cycle import KnownFrame
from vosfw.engine.merge import first_masks, merge_given
from vosfw.predictor import Predictor
from vosfw.types import Clip, ClipMeta, ObjectMasks

LATE = {1: 7, 2: 9}
"""Objects that join in the middle of a clip."""


REFINER = [option for option in SMALL_PCVOS if option.startswith("model.refiner.")]


@functools.cache
def network(*options):
    torch.manual_seed(0)
    small = [option for option in SMALL_PCVOS if "model/refiner=none" not in options or option not in REFINER]
    return instantiate_model(compose([*small, *options]).model).eval()


def engine(length, overlap=0, **options):
    made = instantiate(compose(["engine=pcvos", f"engine.clip_length={length}", f"engine.overlap={overlap}"]).engine)
    return made.replace(**options)


def scene(frames=13, every=1):
    video = ToyVideo(frames=frames, objects=3, size=(44, 60), late=LATE)
    video.wanted = tuple(t % every == 0 for t in range(frames))
    return video


def whole(model, video, made):
    """Masks and labels by frame."""
    geometry = made.geometry(video.size, model.grid)
    with torch.no_grad():
        steps = list(made.run(model, video, "cpu"))
    return {step.frame: (step.masks.probs, made.labels(step, geometry)[0]) for step in steps}


def by_hand(model, video, made):
    """Everything encoded at once, then clip after clip, without the engine's loop."""
    stream = made.stream(model, video.size)
    slots = max(slot for new in video.given.values() for slot in new) + 1

    def masks(t):
        known = max(slot for u, new in video.given.items() if u <= t for slot in new) + 1
        given = torch.zeros(1, known, dtype=torch.bool)
        given[0, list(video.given[t])] = True
        return stream.place_given(video.given_mask(t)[None], given)

    with torch.no_grad():
        features = model.encode(stream.place_frames(video.images)[None])
        found = {0: first_masks(masks(0), made.merge)}
        state = None
        for event in what_counts(list(clip_cut(made.clip_length, video.given, video.wanted, made.overlap))):
            if isinstance(event, Remembered):
                t = event.frame
                if state is None:
                    state = model.init_state(features.at(t), found[t])
                else:
                    state = model.memorize(features.at(t), found[t], state, keep=True)
                continue
            seen = [*event.clip, *event.ahead]
            levels = tuple(level[:, seen] for level in features.levels)
            logits, _ = model.segment(features._replace(frames=features.frames[:, seen], levels=levels), state)
            for i, t in enumerate(event.clip):
                probs = logits[:, i].softmax(1)
                found[t] = ObjectMasks(probs, state.valid, torch.ones_like(probs[:, :1]))
                if t in video.given:
                    found[t], _ = merge_given(found[t], masks(t), made.merge)
    assert max(each.valid.shape[1] for each in found.values()) == slots
    return found


@pytest.mark.parametrize("overlap", [0, 2])
@pytest.mark.parametrize("length", [1, 5, 10])
@pytest.mark.parametrize("frames", [11, 13])
def test_the_predictor_equals_the_engine_and_the_plain_loop(length, frames, overlap):
    """11 and 13 frames with cuts at 7 and 9: no clip length divides them."""
    model, video, made = network(), scene(frames), engine(length, overlap)
    expected = whole(model, video, made)
    predictor = Predictor(model, "cpu", engine=made)
    found, came = {}, []
    for t in range(frames):
        if t in video.given:
            predictor.add_object(video.given_mask(t).numpy())
        results = predictor.step(video.frame(t))
        came.append(len(results))
        found |= {result.index: result.labels for result in results}
    assert max(came) <= length + overlap
    found |= {result.index: result.labels for result in predictor.flush()}
    assert sorted(found) == list(range(frames)) == sorted(expected)
    plain = by_hand(model, video, made)
    for t, (probs, labels) in expected.items():
        assert torch.equal(torch.from_numpy(found[t]), labels), t
        torch.testing.assert_close(plain[t].probs, probs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("overlap", [0, 2])
@pytest.mark.parametrize("length", [1, 3, 5])
def test_required_frames_alone(length, overlap):
    model, video, made = network(), scene(25, every=3), engine(length, overlap)
    found, plain = whole(model, video, made), by_hand(model, video, made)
    assert sorted(found) == sorted({*range(0, 25, 3), *LATE.values()}) == sorted(plain)
    for t, (probs, _) in found.items():
        torch.testing.assert_close(plain[t].probs, probs, atol=1e-5, rtol=1e-4)


def test_a_clip_at_a_time_comes_back():
    video, predictor = scene(), Predictor(network(), "cpu", engine=engine(4))
    predictor.add_object((video.labels[0] == 1).numpy(), id=1)
    assert [len(predictor.step(video.frame(t))) for t in range(12)] == [1, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0]
    assert [result.index for result in predictor.flush()] == [9, 10, 11]


@pytest.mark.parametrize("stop", [3, 6, 8, 11])
def test_a_session_with_frames_seen_ahead_goes_on(stop, tmp_path):
    video = scene()

    def feed(predictor, frames):
        found = {}
        for t in frames:
            if t in video.given:
                predictor.add_object(video.given_mask(t).numpy())
            found |= {result.index: result.scores for result in predictor.step(video.frame(t))}
        return found

    made = engine(4, 3)
    unbroken, first = (Predictor(network(), "cpu", engine=made) for _ in range(2))
    expected = feed(unbroken, range(13)) | {r.index: r.scores for r in unbroken.flush()}
    found = feed(first, range(stop))
    first.save(tmp_path / "session.pt")
    second = Predictor.load(tmp_path / "session.pt", network(), "cpu")
    found |= feed(second, range(stop, 13)) | {r.index: r.scores for r in second.flush()}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[t], expected[t]) for t in expected)


def test_training_clips_look_ahead_too():
    video = scene()
    video.given, video.labels = {0: (0, 1, 2)}, scene().labels
    given = torch.zeros(1, 13, 3, dtype=torch.bool)
    given[:, 0] = True
    meta = ClipMeta("v", tuple(map(str, range(13))), (1, 2, 3), video.size)
    clip = Clip(
        video.images[None].float() / 255, video.labels[None], given, given[:, 0], torch.ones(1, 13).bool(), (meta,)
    )
    made = engine(5, 2)
    with torch.no_grad():
        trained = {step.frame: step.masks.probs for step in made.propagate(network(), clip)}
    for t, (probs, _) in whole(network(), video, made).items():
        torch.testing.assert_close(trained[t], probs, atol=1e-5, rtol=1e-4)


def difference(model, length, overlap):
    """Largest change of a probability by looking ahead."""
    one, two = (whole(model, scene(), engine(length, ahead)) for ahead in (0, overlap))
    return SimpleNamespace(
        most=max(float((one[t][0] - two[t][0]).abs().max()) for t in one), same=one.keys() == two.keys()
    )


def test_looking_ahead_changes_what_is_refined():
    # The last layers of a new refiner change little.
    assert difference(network(), 5, 2).most > 1e-6


@pytest.mark.parametrize("segment", [2, 5])
def test_looking_ahead_changes_nothing_else(segment):
    """Progressive matching goes forwards, so frames seen ahead reach no frame before them."""
    model = network("model/refiner=none", f"model.memory.segment={segment}")
    for length, overlap in ((5, 2), (3, 4), (1, 6)):
        changed = difference(model, length, overlap)
        assert changed.same
        assert changed.most < 1e-5


def test_what_is_held_of_a_clip_is_no_view_of_it():
    """The corrector's reference, given in the middle of a clip, and how sure the match was."""
    model, video = network("model.affinity_mass=true"), scene()
    made = engine(8, corrector=GradientCorrector(steps=1, every=8))
    stream = made.stream(model, video.size)
    with torch.no_grad():
        list(made.run(model, video, "cpu", stream))
    reference = stream.known.reference
    assert isinstance(reference, KnownFrame)
    for held in (reference.features.frames, *reference.features.levels, model.affinity_mass(stream.known.network)):
        assert held.untyped_storage().nbytes() == held.numel() * held.element_size()
