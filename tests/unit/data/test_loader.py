import pytest
import torch
from plain_videos import PlainVideos

from vosfw.data import loader as module
from vosfw.data.augment import ClipAugment
from vosfw.data.loader import ClipLoader, Progress, VideoLoader
from vosfw.data.sampler import PerFrameSampler
from vosfw.data.video import Video


def names(loader: ClipLoader) -> list[tuple[tuple[str, tuple[str, ...]], ...]]:
    """What each batch of a pass holds."""
    return [tuple((meta.video, meta.frames) for meta in batch.meta) for batch in loader]


def make(progress=None, videos: int = 11, workers: int = 0) -> ClipLoader:
    dataset = PlainVideos([8] * videos)
    return ClipLoader(dataset, PerFrameSampler(dataset), ClipAugment((16, 16)), 2, workers, progress=progress)


def test_full_batches_only() -> None:
    loader = make()
    assert len(loader) == 5
    batches = list(loader)
    assert len(batches) == 5
    assert batches[0].frames.shape[:3] == (2, 3, 3)
    assert batches[0].frames.dtype == torch.uint8


def test_passes_are_epochs() -> None:
    loader = make()
    passes = [names(loader) for _ in range(3)]
    assert passes[0] != passes[1] != passes[2] != passes[0]
    again = make()
    again.sampler.set_epoch(1)
    assert names(again) == passes[1]
    assert names(again) == passes[2]


@pytest.mark.parametrize("workers", [0, 2])
def test_goes_on_after_the_last_batch_handed_out(workers: int) -> None:
    loader = make(workers=workers)
    loader.sampler.set_epoch(3)
    batches = iter(loader)
    next(batches), next(batches)
    state = loader.state_dict()
    assert state == {"epoch": 3, "clips": 4}
    rest = [tuple((meta.video, meta.frames) for meta in batch.meta) for batch in batches]
    assert loader.state_dict() == {"epoch": 4, "clips": 0}
    again = make(workers=workers)
    again.load_state_dict(state)
    assert len(again) == 5
    assert again.state_dict() == state
    assert names(again) == rest
    assert again.state_dict() == {"epoch": 4, "clips": 0}
    assert names(again) == names(loader)


def test_loaded_state_outranks_the_number_that_lightning_sets() -> None:
    expected = make()
    first, second = names(expected), names(expected)
    loader = make()
    loader.load_state_dict({"epoch": 0, "clips": 6})
    loader.sampler.set_epoch(2)
    assert names(loader) == first[3:]
    loader.sampler.set_epoch(3)
    assert names(loader) == second


def test_an_unfinished_batch_is_not_counted() -> None:
    done = 0
    loader = make(lambda: Progress(done, 5))
    batches = iter(loader)
    next(batches)
    assert loader.state_dict()["clips"] == 0
    done = 1
    assert loader.state_dict()["clips"] == 2
    done = 4
    assert loader.state_dict()["clips"] == 2, "no more than was handed out"


def test_an_epoch_cut_short_is_over_at_its_end() -> None:
    loader = make(lambda: Progress(3, 3))
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    assert loader.state_dict() == {"epoch": 1, "clips": 0}


def test_a_pass_begins_with_its_first_batch() -> None:
    loader = make()
    batches = iter(loader)
    loader.sampler.set_epoch(2)
    got = [tuple((meta.video, meta.frames) for meta in batch.meta) for batch in batches]
    other = make()
    other.sampler.set_epoch(2)
    assert got == names(other)


def test_state_counts_the_clips_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = make()
    batches = iter(loader)
    next(batches), next(batches)
    monkeypatch.setattr(module, "process", lambda: (0, 2))
    assert loader.state_dict()["clips"] == 8
    loader.load_state_dict({"epoch": 0, "clips": 12})
    monkeypatch.setattr(module, "process", lambda: (0, 1))
    assert len(names(loader)) == 2


@pytest.mark.parametrize("replicas", [1, 2, 3, 8])
def test_videos_are_shared_out_without_duplicates(monkeypatch: pytest.MonkeyPatch, replicas: int) -> None:
    lengths = [30, 5, 80, 40, 5, 33]
    shares = []
    for rank in range(replicas):
        monkeypatch.setattr(module, "process", lambda rank=rank: (rank, replicas))
        loader = VideoLoader(PlainVideos(lengths))
        shares.append(loader.indices())
        assert len(loader) == len(shares[-1]) if shares[-1] else list(loader) == [None]
        assert shares[-1] == sorted(shares[-1])
    assert sorted(index for share in shares for index in share) == list(range(6))
    loads = [sum(lengths[i] for i in share) for share in shares]
    assert max(loads) <= max(max(lengths), sum(lengths) / replicas + 5 * replicas)


def test_videos_come_as_handles_in_order() -> None:
    loader = VideoLoader(PlainVideos([3, 9, 4]))
    assert [video.name for video in loader] == ["v0", "v1", "v2"]
    assert all(isinstance(video, Video) for video in loader)
