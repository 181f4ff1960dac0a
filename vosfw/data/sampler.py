"""Which clips to train on. Samplers live in the main process; workers only read what they are asked for."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
from torch import distributed
from torch.utils.data import Sampler

from vosfw.data.dataset import TRIES, Attempt, ClipRequest, VideoDataset
from vosfw.errors import ConfigError, DatasetError

__all__ = ["ClipRequest", "ClipSampler", "PerClipSampler", "PerFrameSampler", "TripleSampler", "process"]

logger = logging.getLogger(__name__)


def process() -> tuple[int, int]:
    """Rank and number of processes."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class ClipSampler(Sampler[ClipRequest], ABC):
    """Passes over all videos in random order and draws a clip of each.

    The requests of an epoch are a pure function of the seed and the epoch. Process ``r`` of ``R`` takes every ``R``-th
    one, so that the union of the processes' ``i``-th batches is the ``i``-th batch of one process with ``R`` times
    the batch size. Requests that do not fill all processes are dropped, so none is repeated.

    Args:
        dataset: What to sample.
        max_skip: Largest step between frames, in frames of the video; a curriculum may set ``curriculum`` instead.
        repeat: Clips per video and epoch.
        reverse: Probability that a clip runs backwards in time.
        seed: Of all draws.

    Raises:
        ConfigError: If an option has an illegal value.
        DatasetError: If no video has enough annotated frames.
    """

    least_frames: int
    """Annotated frames that a video needs."""

    def __init__(
        self, dataset: VideoDataset, max_skip: int = 5, repeat: int = 1, reverse: float | int = 0.5, seed: int = 0
    ) -> None:
        if max_skip < 1 or repeat < 1 or not 0 <= reverse <= 1:
            raise ConfigError(
                f"Wanted max_skip >= 1, repeat >= 1, reverse in 0..1; got {max_skip}, {repeat} and {reverse}."
            )
        self.max_skip, self.repeat, self.reverse, self.seed = max_skip, repeat, reverse, seed
        self.curriculum: Callable[[int, int], int] | None = None
        """Maximum skip by epoch and clip of the epoch (counted over all processes), in place of ``max_skip``."""
        self.epoch = 0
        self.start = 0
        """Requests of this process to leave out of the next pass (those seen before an interruption)."""
        self._annotated = [np.asarray(frames) for frames in dataset.annotated]
        self._usable = [i for i, frames in enumerate(self._annotated) if len(frames) >= self.least_frames]
        usable = set(self._usable)
        short = [name for i, name in enumerate(dataset.videos) if i not in usable]
        if not self._usable:
            raise DatasetError(
                f"None of the {len(short)} videos has the {self.least_frames} annotated frames that a training clip "
                f"needs; the first is '{short[0] if short else '(no video)'}'. Add masks or sample shorter clips."
            )
        if short:
            logger.warning("Too few masks (< %d) to train on, left out: %s", self.least_frames, ", ".join(short))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Requests of this process per epoch."""
        return len(self._usable) * self.repeat // process()[1]

    def __iter__(self) -> Iterator[ClipRequest]:
        """The epoch's requests of this process."""
        rank, replicas = process()
        start, self.start = self.start, 0
        draw = np.random.default_rng((self.seed, self.epoch))
        order = np.concatenate([draw.permutation(self._usable) for _ in range(self.repeat)])
        for position in range(start * replicas + rank, len(self) * replicas, replicas):
            yield self.request(int(order[position]), position)

    def request(self, video: int, position: int) -> ClipRequest:
        """The clip at ``position`` of the epoch, counted over all processes."""
        draw = np.random.default_rng((self.seed, self.epoch, position))
        frames = self._annotated[video]
        places = self.places(draw, len(frames), int(np.diff(frames).min()), self.skip(position))
        if draw.uniform() < self.reverse:
            places = places[::-1]
        return ClipRequest(video, tuple(frames[places].tolist()), int(draw.integers(2**62)))

    def skip(self, position: int) -> int:
        """The largest step at ``position`` of the epoch."""
        return self.max_skip if self.curriculum is None else self.curriculum(self.epoch, position)

    @abstractmethod
    def places(self, draw: np.random.Generator, count: int, stride: int, max_skip: int) -> list[int]:
        """Frames of a clip, among ``count`` annotated ones, in ascending order.

        Args:
            draw: Source of randomness.
            count: Number of annotated frames.
            stride: Frames of the video from one of them to the next (YouTube-VOS: 5).
            max_skip: Largest step, in frames of the video.
        """


class PerFrameSampler(ClipSampler):
    """STCN's rule (Cheng et al., NeurIPS 2021, released code): steps of 1 to ``max_skip + 1``, cut at the end.

    Because of the cuts, frames near the end of a video may coincide.

    Args:
        dataset: What to sample.
        clip_frames: Frames per clip; the first one's masks are given.
        max_skip: See ``ClipSampler``.
        repeat: See ``ClipSampler``.
        reverse: See ``ClipSampler``.
        seed: See ``ClipSampler``.
    """

    least_frames = 2

    def __init__(
        self,
        dataset: VideoDataset,
        clip_frames: int = 3,
        max_skip: int = 5,
        repeat: int = 1,
        reverse: float | int = 0.5,
        seed: int = 0,
    ) -> None:
        if clip_frames < 2:
            raise ConfigError(f"A clip needs a given and a predicted frame: clip_frames >= 2, got {clip_frames}.")
        super().__init__(dataset, max_skip, repeat, reverse, seed)
        self.clip_frames = clip_frames

    def places(self, draw: np.random.Generator, count: int, stride: int, max_skip: int) -> list[int]:
        """Frames of a clip; the ``j``-th step may not pass ``count - step // j``."""
        step = min(count, max(1, max_skip // stride))
        places = [int(draw.integers(0, count - step + 1))]
        for j in range(1, self.clip_frames):
            far = places[-1] + int(draw.integers(1, step + 2))
            places.append(min(far, count - step // j, count - 1))
        return places


class PerClipSampler(ClipSampler):
    """PCVOS (Park et al., CVPR 2022, section 4.1): a labelled frame, then clips of frames close to each other.

    Args:
        dataset: What to sample.
        clip_length: Frames per clip (N); a sample has ``1 + clips * clip_length`` frames.
        clips: Clips per sample.
        inner_skip: Largest step between neighbours in a clip.
        max_skip: Largest step to the first frame of a clip; what a curriculum changes.
        repeat: See ``ClipSampler``.
        reverse: See ``ClipSampler``.
        seed: See ``ClipSampler``.
    """

    def __init__(
        self,
        dataset: VideoDataset,
        clip_length: int = 3,
        clips: int = 2,
        inner_skip: int = 5,
        max_skip: int = 5,
        repeat: int = 1,
        reverse: float | int = 0.5,
        seed: int = 0,
    ) -> None:
        if min(clip_length, clips, inner_skip) < 1:
            raise ConfigError(f"Wanted clip_length, clips, inner_skip >= 1; got {clip_length}, {clips}, {inner_skip}.")
        self.least_frames = 1 + clips * clip_length
        super().__init__(dataset, max_skip, repeat, reverse, seed)
        self.clip_length, self.clips, self.inner_skip = clip_length, clips, inner_skip

    def places(self, draw: np.random.Generator, count: int, stride: int, max_skip: int) -> list[int]:
        """Frames of a sample; steps that would leave the video are shortened in proportion, to no less than 1."""
        outer, inner = max(1, max_skip // stride), max(1, self.inner_skip // stride)
        limits = ([outer] + [inner] * (self.clip_length - 1)) * self.clips
        steps = draw.integers(1, np.array(limits) + 1)
        excess, room = steps.sum() - len(steps), count - 1 - len(steps)
        if excess > room:
            steps = 1 + (steps - 1) * room // excess
        places = int(draw.integers(0, count - steps.sum())) + np.concatenate([[0], np.cumsum(steps)])
        return [int(place) for place in places]


class TripleSampler(ClipSampler):
    """CFBI's triple (Yang, Wei, Yang, ECCV 2020, section 4; as released with RPCM, Xu et al., AAAI 2022).

    Frame 0 is a reference from anywhere in the video, frame 1 the previous frame, both with their masks given; the
    frames to predict follow it in steps of 1 to ``max_skip``, reflected at the ends. A request holds ``TRIES`` draws
    with ``TRIES`` references each: which one fits is seen where the masks are read (``vosfw.data.dataset.Attempt``).

    Args:
        dataset: What to sample.
        current: Frames to predict (L).
        max_skip: Largest step, here in annotated frames, whatever lies between them.
        foreground: Pixels of objects that a reference should have more than, at the video's own size.
        repeat: See ``ClipSampler``.
        reverse: Probability that the previous and current frames run backwards.
        seed: See ``ClipSampler``.
    """

    least_frames = 2

    def __init__(
        self,
        dataset: VideoDataset,
        current: int = 3,
        max_skip: int = 3,
        foreground: int = 200,
        repeat: int = 1,
        reverse: float | int = 0.5,
        seed: int = 0,
    ) -> None:
        if current < 1 or foreground < 0:
            raise ConfigError(f"Wanted current >= 1, foreground >= 0; got {current} and {foreground}.")
        super().__init__(dataset, max_skip, repeat, reverse, seed)
        self.current, self.foreground = current, foreground

    def request(self, video: int, position: int) -> ClipRequest:
        """The draws from which the clip at ``position`` of the epoch is chosen."""
        draw = np.random.default_rng((self.seed, self.epoch, position))
        frames = self._annotated[video][:: -1 if draw.uniform() < self.reverse else 1]
        draws = [self.places(draw, len(frames), 1, self.skip(position)) for _ in range(TRIES)]
        references = draw.integers(len(frames), size=(TRIES, TRIES))
        attempts = tuple(
            Attempt(tuple(frames[first].tolist()), tuple(frames[places].tolist()))
            for first, places in zip(references, draws, strict=True)
        )
        start = (attempts[0].references[0], *attempts[0].others)
        return ClipRequest(video, start, int(draw.integers(2**62)), 2, attempts, self.foreground)

    def places(self, draw: np.random.Generator, count: int, stride: int, max_skip: int) -> list[int]:
        """The previous and the current frames."""
        steps = draw.integers(1, max_skip + 1, size=self.current)
        first = int(draw.integers(max(1, count - steps.sum())))
        far = (first + np.concatenate([[0], np.cumsum(steps)])) % (2 * count - 2)
        return [int(place) for place in np.minimum(far, 2 * count - 2 - far)]
