"""Loaders: training clips that resume at the batch they stopped at, and videos shared out over processes."""

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from torch.utils.data import DataLoader, Dataset

from vosfw.data.augment import ClipAugment
from vosfw.data.collate import collate
from vosfw.data.dataset import ClipRequest, Sample, VideoDataset
from vosfw.data.sampler import ClipSampler, process
from vosfw.data.video import Video
from vosfw.types import Clip


class _Prepared(Dataset[Sample]):
    """What a worker does: read a clip, choose its objects and crop it."""

    def __init__(self, dataset: VideoDataset, augment: ClipAugment) -> None:
        self.dataset, self.augment = dataset, augment

    def __getitem__(self, request: ClipRequest) -> Sample:
        return self.augment.prepare(self.dataset[request])


class Progress(NamedTuple):
    """How far training is, as its loop counts."""

    batches: int
    """Of this epoch, finished."""
    length: int
    """Batches of an epoch."""


class ClipLoader(DataLoader[Sample]):
    """Batches of training clips; a loader with saved state goes on with the batch after the last one trained on.

    Lightning keeps the state in its checkpoints (fit loop). A pass begins when its first batch is asked for, so that
    a curriculum set before then counts. After state was loaded the loader counts epochs itself: Lightning's number is
    one too high when a run resumes at the end of an epoch.

    Args:
        dataset: What to read.
        sampler: Which clips.
        augment: Crops in the workers (its other half runs on the device).
        batch_size: Clips per batch and process.
        num_workers: Processes that read.
        pin_memory: Whether batches lie in pinned memory.
        progress: What training has finished, if it keeps count: a batch that was handed out but not finished (training
            was interrupted in it) is then repeated after resuming.
    """

    def __init__(
        self,
        dataset: VideoDataset,
        sampler: ClipSampler,
        augment: ClipAugment,
        batch_size: int,
        num_workers: int = 0,
        pin_memory: bool = False,
        progress: Callable[[], Progress] | None = None,
    ) -> None:
        super().__init__(
            _Prepared(dataset, augment),
            batch_size=batch_size,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=collate,
            pin_memory=pin_memory,
            drop_last=True,
            persistent_workers=num_workers > 0,
        )
        self._clips = sampler
        self._progress = progress
        self._epoch, self._batch = sampler.epoch, 0
        self._begun, self._loaded = False, False

    def __iter__(self) -> Iterator[Clip]:  # type: ignore[override]
        """What is left of an epoch that loaded state says was begun; otherwise the next epoch."""
        if self._begun:
            self._epoch, self._batch = self._epoch + 1, 0
        if not self._loaded:
            self._epoch = max(self._epoch, self._clips.epoch)
        self._begun = True
        self._clips.set_epoch(self._epoch)
        self._clips.start = self._batch * (self.batch_size or 1)
        for batch in super().__iter__():
            self._batch += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its clips all processes together have trained on."""
        batches, length = self._batch, len(self)
        if self._progress is not None and self._begun:
            progress = self._progress()
            batches, length = min(batches, progress.batches), progress.length
        if batches >= length:
            return {"epoch": self._epoch + 1, "clips": 0}
        return {"epoch": self._epoch, "clips": batches * self._clips_per_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next pass go on after the clips that ``state`` counts."""
        self._epoch, self._batch = state["epoch"], state["clips"] // self._clips_per_batch
        self._begun, self._loaded = False, True

    @property
    def _clips_per_batch(self) -> int:
        return (self.batch_size or 1) * process()[1]


class VideoLoader:
    """Handles of the videos that fall to this process; whoever runs the engine reads their frames.

    Videos go, longest first, to the process with the fewest frames so far. None is given twice, since duplicates bias
    means over videos; hence processes may have different numbers of videos. One that is left without gets None instead:
    Lightning would let it skip the evaluation, and the others would wait for it forever.

    Args:
        videos: A data set.
        skip: Names of videos to leave out.
    """

    def __init__(self, videos: VideoDataset, skip: Collection[str] = ()) -> None:
        self.videos = videos
        self.skip = frozenset(skip)

    def indices(self) -> list[int]:
        """Videos of this process, in the order of the data set."""
        rank, replicas = process()
        lengths = self.videos.lengths
        load, mine = [0] * replicas, list[int]()
        wanted = [i for i, name in enumerate(self.videos.videos) if name not in self.skip]
        for index in sorted(wanted, key=lambda i: (-lengths[i], i)):
            least = min(range(replicas), key=load.__getitem__)
            load[least] += lengths[index]
            if least == rank:
                mine.append(index)
        return sorted(mine)

    def __len__(self) -> int:
        return max(len(self.indices()), 1)

    def __iter__(self) -> Iterator[Video | None]:
        indices = self.indices()
        return (self.videos.video(index) for index in indices) if indices else iter((None,))
