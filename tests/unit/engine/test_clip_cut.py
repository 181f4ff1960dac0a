"""Which frames make a clip, what is seen ahead of it, and what is remembered."""

from typing import NamedTuple

import pytest
import torch
from doubles import ClipDouble, KeyDouble, PoolDouble
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_clips import Remembered, Segmented, clip_cut, what_counts
from scenes import ToyVideo

from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError
from vosfw.interfaces import Grid, Segmenter
from vosfw.predictor import Predictor
from vosfw.types import Features


class Nothing(NamedTuple):
    valid: torch.Tensor


class Recording(Segmenter):
    """Notes which frames it is asked for; they carry their number as their colour."""

    grid = Grid(1, "pad")

    def __init__(self, clip_length=3):
        super().__init__()
        self.clip_length = clip_length
        self.encoded, self.segmented, self.log = [], [], []

    def numbers(self, frames):
        return tuple((frames[0, :, 0, 0, 0] * 255).round().int().tolist())

    def encode(self, frames):
        self.encoded += self.numbers(frames)
        return Features(frames, (frames * 255,))

    def init_state(self, features, masks, *, keep=True):
        return self.memorize(features, masks, None, keep=keep)

    def segment(self, features, state):
        frames = self.numbers(features.frames)
        # Features belong to their frames, however they were put together.
        assert self.numbers(features.levels[0] / 255) == frames
        self.segmented.append(frames)
        self.log.append(Segmented(frames, ()))
        batch, slots = state.valid.shape
        return torch.zeros(batch, len(frames), slots + 1, *features.frames.shape[-2:]), state

    def memorize(self, features, masks, state, *, keep):
        (frame,) = self.numbers(features.frames)
        self.log.append(Remembered(frame) if keep else ("recent", frame))
        return Nothing(masks.valid)


class Numbered:
    """A video whose frames are their number."""

    size = (2, 2)

    def __init__(self, starts, wanted):
        self.given = {t: (slot,) for slot, t in enumerate(starts)}
        self.wanted = tuple(wanted)

    def __len__(self):
        return len(self.wanted)

    def frame(self, index):
        return torch.full((3, 2, 2), index, dtype=torch.uint8)

    def given_mask(self, index):
        return torch.full((2, 2), self.given[index][0] + 1, dtype=torch.uint8)


def run(video, length, overlap=0, **policy):
    network = Recording()
    engine = Engine(IntervalPolicy(**{"every": "clip", **policy}), clip_length=length, overlap=overlap)
    with torch.no_grad():
        frames = [step.frame for step in engine.run(network, video, "cpu")]
    return network, frames


@st.composite
def courses(draw):
    frames = draw(st.integers(2, 24))
    starts = sorted(draw(st.sets(st.integers(0, frames - 1), min_size=1, max_size=4)))
    wanted = draw(st.lists(st.booleans(), min_size=frames, max_size=frames)) if draw(st.booleans()) else [True] * frames
    return Numbered(starts, wanted), draw(st.integers(1, 7)), draw(st.integers(0, 9))


@given(courses())
@settings(max_examples=200, deadline=None)
def test_as_the_plain_cut(course):
    video, length, overlap = course
    network, frames = run(video, length, overlap)
    events = what_counts(list(clip_cut(length, video.given, video.wanted, overlap)))
    expected = [Segmented(e.clip + e.ahead, ()) if isinstance(e, Segmented) else e for e in events]
    assert network.log == expected
    clips = [e.clip for e in events if isinstance(e, Segmented)]
    assert frames == [min(video.given), *(t for clip in clips for t in clip)]
    # Encoded once, in the order in which they come.
    assert network.encoded == frames


def test_the_cut_of_a_video():
    """By hand: an object joins in frame 7, in the middle of the second clip."""
    network, frames = run(Numbered([0, 7], [True] * 14), 5)
    assert network.segmented == [(1, 2, 3, 4, 5), (6, 7), (8, 9, 10, 11, 12), (13,)]
    assert [e.frame for e in network.log if isinstance(e, Remembered)] == [0, 5, 7, 12]
    assert frames == list(range(14))


def test_looking_ahead_ends_with_a_frame_with_masks():
    network, frames = run(Numbered([0, 7], [True] * 14), 5, overlap=3)
    assert network.segmented == [(1, 2, 3, 4, 5, 6, 7), (6, 7), (8, 9, 10, 11, 12, 13), (13,)]
    assert [e.frame for e in network.log if isinstance(e, Remembered)] == [0, 5, 7, 12]
    assert frames == list(range(14))


def test_required_frames_alone_make_clips():
    """Every fifth frame is wanted: five of them are a clip, and all of them are remembered."""
    network, _ = run(Numbered([0], [t % 5 == 0 for t in range(41)]), 5, overlap=1)
    assert network.segmented == [(5, 10, 15, 20, 25, 30), (30, 35, 40)]
    assert [e.frame for e in network.log if isinstance(e, Remembered)] == [0, 5, 10, 15, 20, 25]


def test_frame_by_frame_with_a_look_ahead():
    network, _ = run(Numbered([0], [True] * 5), 1, overlap=2, every=2)
    assert network.segmented == [(1, 2, 3), (2, 3, 4), (3, 4), (4,)]
    assert network.encoded == list(range(5))
    assert [e.frame for e in network.log if isinstance(e, Remembered)] == [0, 2]


def test_the_transient_entry_is_the_last_published_frame():
    network, _ = run(Numbered([0], [True] * 8), 3, overlap=2, every=None, recent=True)
    assert network.segmented == [(1, 2, 3, 4, 5), (4, 5, 6, 7), (7,)]
    assert [e for e in network.log if not isinstance(e, Segmented | Remembered)] == [("recent", 3), ("recent", 6)]


def test_a_frame_that_is_given_whole_is_not_seen_ahead():
    video = Numbered([0], [True] * 8)
    video.given[4] = (0,)
    network, _ = run(video, 2, overlap=2)
    assert network.segmented == [(1, 2, 3), (3,), (5, 6, 7), (7,)]


@pytest.mark.parametrize("options", [{"clip_length": 2}, {"overlap": 1}, {"overlap": 2, "clip_length": 3}])
def test_networks_that_go_on_from_frame_to_frame_refuse_clips(options):
    for model in (PoolDouble(), KeyDouble()):
        with pytest.raises(ConfigError, match=r"goes on from frame to frame: set them to 1 and 0"):
            Engine(**options).stream(model, (32, 40))


def test_fewer_than_no_frames_ahead_are_refused():
    with pytest.raises(ConfigError, match=r"engine\.overlap is -1"):
        Engine(overlap=-1)


def test_an_object_is_removed_while_frames_wait():
    """Frames 4 and 5 were seen ahead with it, and no longer show it."""
    video = ToyVideo(frames=9, objects=2)
    predictor = Predictor(ClipDouble(), "cpu", engine=Engine(IntervalPolicy("clip"), overlap=2))
    predictor.add_object(video.labels[0].numpy())
    came, shown = [], {}
    for t in range(9):
        if t == 7:
            predictor.remove_object(2)
        found = predictor.step(video.frame(t))
        came.append(len(found))
        shown |= {p.index: p.scores[2].max() > 1e-3 for p in found}
    assert came == [1, 0, 0, 0, 0, 3, 0, 0, 3]
    shown |= {p.index: p.scores[2].max() > 1e-3 for p in predictor.flush()}
    assert shown == {t: t <= 3 for t in range(9)}


def test_frames_that_nobody_wants_may_all_be_predicted():
    """PCVOS's ``predict_all``: clips of neighbouring frames, whatever is asked for."""
    wanted = [t % 4 == 0 for t in range(12)]
    all_frames, _ = run(Numbered([0, 5], [True] * 12), 3)
    network, frames = run(Numbered([0, 5], wanted), 3, process_unwanted="all")
    assert network.log == all_frames.log
    assert frames == list(range(12))
    with pytest.raises(ConfigError, match=r"process_unwanted is 'some'"):
        IntervalPolicy(process_unwanted="some")
