import logging
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from vosfw.data import sampler as module
from vosfw.data.dataset import TRIES, VideoDataset
from vosfw.data.sampler import PerClipSampler, PerFrameSampler, TripleSampler
from vosfw.data.synthetic import SyntheticDataset
from vosfw.data.video import Video
from vosfw.errors import ConfigError, DatasetError


class Index(VideoDataset):
    """Videos of which only the annotated frames are known."""

    def __init__(self, annotated: Sequence[Sequence[int]]) -> None:
        super().__init__([f"v{i}" for i in range(len(annotated))])
        self._annotated = annotated

    def video(self, index: int) -> Video:
        raise AssertionError("samplers open no video")

    @property
    def annotated(self) -> Sequence[Sequence[int]]:
        return self._annotated

    @property
    def lengths(self) -> list[int]:
        return [max(frames) + 1 for frames in self._annotated]


def on_rank(monkeypatch: pytest.MonkeyPatch, rank: int, replicas: int) -> None:
    monkeypatch.setattr(module, "process", lambda: (rank, replicas))


def test_every_video_once_per_repeat_in_another_order_each_epoch() -> None:
    sampler = PerFrameSampler(Index([range(20)] * 30), repeat=2)
    epochs = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        videos = [request.video for request in sampler]
        assert len(videos) == len(sampler) == 60
        assert sorted(videos[:30]) == sorted(videos[30:]) == list(range(30))
        epochs.append(videos)
    assert epochs[0] != epochs[1]


def test_epochs_replay_from_seed_and_epoch() -> None:
    first, second, other = (PerFrameSampler(Index([range(20)] * 9), seed=seed) for seed in (4, 4, 5))
    list(first)
    for sampler in (first, second, other):
        sampler.set_epoch(3)
    assert list(first) == list(second) == list(second)
    assert list(first) != list(other)
    assert len({request.seed for request in first}) == 9


@pytest.mark.parametrize(("count", "skip"), [(10, 5), (30, 5), (30, 25), (4, 25), (2, 5), (7, 1)])
def test_stcn_rule(count: int, skip: int) -> None:
    """Limits of section 4 of STCN's released sampler, and that they are reached."""
    jump = min(count, skip)
    sampler = PerFrameSampler(Index([range(count)]), max_skip=skip)
    draw = np.random.default_rng(0)
    clips = np.array([sampler.places(draw, count, 1, skip) for _ in range(3000)])
    start, second, third = clips.T
    assert set(start) == set(range(count - jump + 1)) if count > jump else set(start) == {0}
    assert (second <= np.minimum(start + jump + 1, min(count - jump, count - 1))).all()
    assert (third <= np.minimum(second + jump + 1, min(count - jump // 2, count - 1))).all()
    assert (start <= second).all()
    assert (second <= third).all()
    free = start + jump + 1 <= min(count - jump, count - 1)
    if free.any():
        assert set((second - start)[free]) == set(range(1, jump + 2))


def test_clips_run_backwards_half_of_the_time() -> None:
    index = Index([range(50)] * 400)
    backwards = [clip.frames[0] > clip.frames[-1] for clip in PerFrameSampler(index)]
    assert 140 < sum(backwards) < 260
    assert not any(clip.frames[0] > clip.frames[-1] for clip in PerFrameSampler(index, reverse=0))
    assert all(clip.frames[0] >= clip.frames[-1] for clip in PerFrameSampler(index, reverse=1))


def test_sparse_masks_shorten_the_jump() -> None:
    annotated = list(range(0, 150, 5))
    sampler = PerFrameSampler(Index([annotated] * 200), max_skip=10, reverse=0)
    for clip in sampler:
        assert set(clip.frames) <= set(annotated)
        assert np.diff(clip.frames).max() <= 5 * (10 // 5 + 1)


@pytest.mark.parametrize("replicas", [2, 3])
def test_batches_of_all_processes_are_one_batch_of_one_process(monkeypatch: pytest.MonkeyPatch, replicas: int) -> None:
    index, batch = Index([range(30)] * 41), 4
    alone = list(PerFrameSampler(index, seed=2))
    shares = []
    for rank in range(replicas):
        on_rank(monkeypatch, rank, replicas)
        sampler = PerFrameSampler(index, seed=2)
        shares.append(list(sampler))
        assert len(shares[-1]) == len(sampler) == 41 // replicas
    for i in range(len(shares[0]) // batch):
        union = {clip for share in shares for clip in share[i * batch : (i + 1) * batch]}
        assert union == set(alone[i * batch * replicas : (i + 1) * batch * replicas])


def test_a_pass_may_start_later(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index([range(30)] * 10)
    on_rank(monkeypatch, 1, 2)
    sampler = PerFrameSampler(index)
    whole = list(sampler)
    sampler.start = 3
    assert list(sampler) == whole[3:]
    assert list(sampler) == whole


def test_a_curriculum_belongs_to_the_place_in_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index([range(100)] * 12)
    asked: list[tuple[int, int]] = []
    on_rank(monkeypatch, 1, 2)
    sampler = PerFrameSampler(index, reverse=0)
    sampler.set_epoch(4)
    sampler.curriculum = lambda epoch, clip: asked.append((epoch, clip)) or 40
    assert max(np.diff(clip.frames).max() for clip in sampler) > 6
    assert asked == [(4, clip) for clip in range(1, 12, 2)]


def test_max_skip_counts_from_the_next_clip_on() -> None:
    sampler = PerFrameSampler(Index([range(400)] * 100), reverse=0)
    requests = iter(sampler)
    assert max(np.diff(next(requests).frames).max() for _ in range(50)) <= 6
    sampler.max_skip = 100
    assert max(np.diff(next(requests).frames).max() for _ in range(50)) > 50


def test_clips_of_pcvos() -> None:
    sampler = PerClipSampler(Index([range(200)] * 300), max_skip=15, inner_skip=5, reverse=0)
    steps = np.array([np.diff(clip.frames) for clip in sampler])
    assert steps.shape == (300, 6)
    assert steps.min() == 1
    between, inside = steps[:, [0, 3]], steps[:, [1, 2, 4, 5]]
    assert between.max() == 15
    assert inside.max() == 5


@pytest.mark.parametrize("count", [7, 8, 12, 20])
def test_clips_of_pcvos_fit_short_videos(count: int) -> None:
    sampler = PerClipSampler(Index([range(count)] * 100), max_skip=15)
    for clip in sampler:
        steps = np.abs(np.diff(clip.frames))
        assert steps.min() >= 1
        assert 0 <= min(clip.frames) < max(clip.frames) < count


def reflected(place: int, count: int) -> int:
    """CFBI's rule, step by step."""
    while not 0 <= place < count:
        place = -place if place < 0 else 2 * (count - 1) - place
    return place


@pytest.mark.parametrize("count", [2, 3, 5, 9, 40])
def test_previous_and_current_frames_of_cfbi(count: int) -> None:
    sampler = TripleSampler(Index([range(count)]), current=2)
    starts, steps = set(), set()
    for seed in range(2000):
        places = sampler.places(np.random.default_rng(seed), count, 1, 3)
        draw = np.random.default_rng(seed)
        gaps = draw.integers(1, 4, size=2)
        room = count - int(gaps.sum())
        first = int(draw.integers(room)) if room > 1 else 0
        assert places == [reflected(int(first + far), count) for far in (0, *np.cumsum(gaps))]
        starts.add(first)
        steps.update(gaps.tolist())
    assert steps == {1, 2, 3}
    assert starts == set(range(max(1, count - 2)))


def test_references_of_cfbi_lie_anywhere() -> None:
    annotated = list(range(0, 100, 5))
    sampler = TripleSampler(Index([annotated] * 300), current=3)
    backwards, references = 0, set()
    for request in sampler:
        assert (request.given, request.foreground, len(request.attempts), len(request.frames)) == (2, 200, TRIES, 5)
        assert request.frames == (request.attempts[0].references[0], *request.attempts[0].others)
        steps = [np.diff(others) for _, others in request.attempts]
        assert {abs(int(step)) for row in steps for step in row} <= {5, 10, 15}
        # All draws of a clip run the same way.
        assert len({bool(row[0] < 0) for row in steps}) == 1
        backwards += bool(steps[0][0] < 0)
        assert all(len(attempt.references) == TRIES for attempt in request.attempts)
        references.update(frame for attempt in request.attempts for frame in attempt.references)
    assert 100 < backwards < 200
    assert references == set(annotated)


def test_triples_replay_and_need_two_masks(caplog: pytest.LogCaptureFixture) -> None:
    index = Index([range(20), range(2), [4]])
    first, second = TripleSampler(index, seed=3), TripleSampler(index, seed=3)
    assert list(first) == list(second) == list(first)
    assert {request.video for request in first} == {0, 1}
    assert "left out: v2" in caplog.text
    second.curriculum = lambda epoch, clip: 1
    assert all(abs(step) == 1 for request in second for step in np.diff(request.attempts[0].others))


def test_videos_with_too_few_masks_are_named(caplog: pytest.LogCaptureFixture) -> None:
    index = Index([range(10), [3], range(7), range(6)])
    with caplog.at_level(logging.WARNING):
        assert {clip.video for clip in PerFrameSampler(index)} == {0, 2, 3}
        assert {clip.video for clip in PerClipSampler(index)} == {0, 2}
    assert "(< 2) to train on, left out: v1" in caplog.text
    assert "(< 7) to train on, left out: v1, v3" in caplog.text
    with pytest.raises(DatasetError, match=r"None of the 2 videos has the 7 annotated frames.*'v0'"):
        PerClipSampler(Index([[3], range(6)]))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (PerFrameSampler, {"clip_frames": 1}),
        (PerFrameSampler, {"max_skip": 0}),
        (PerFrameSampler, {"repeat": 0}),
        (PerFrameSampler, {"reverse": 1.5}),
        (PerClipSampler, {"clip_length": 0}),
        (PerClipSampler, {"clips": 0}),
        (PerClipSampler, {"inner_skip": 0}),
        (TripleSampler, {"current": 0}),
        (TripleSampler, {"foreground": -1}),
        (TripleSampler, {"max_skip": 0}),
    ],
)
def test_illegal_options(kind: type, options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(options.values())))):
        kind(Index([range(10)]), **options)


def test_process_follows_torch_distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.process() == (0, 1)
    fake = SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda: 2, get_world_size=lambda: 5
    )
    monkeypatch.setattr(module, "distributed", fake)
    assert module.process() == (2, 5)


def test_requests_read_clips() -> None:
    dataset = SyntheticDataset("train", videos=3, size=(32, 48), length=9)
    for request in PerFrameSampler(dataset, clip_frames=4):
        assert dataset[request].frames.shape == (4, 3, 32, 48)
