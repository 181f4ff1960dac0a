"""What every data set of videos shares: an index, videos as lazy views, and clips on request."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Integer, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from vosfw.data.video import Video, present_ids, slot_labels
from vosfw.types import VOID, ClipMeta

TRIES = 5
"""Draws until a clip's first frame shows an object (STCN: 5); after that the clip is all background."""


class Attempt(NamedTuple):
    """A draw of a clip of which only the masks can tell whether it fits."""

    references: tuple[int, ...]
    """Frames of the video, the first of which that shows enough becomes the clip's first frame; else the last."""
    others: tuple[int, ...]
    """The frames that follow it; their objects should all be in the reference."""


class ClipRequest(NamedTuple):
    """What a sampler asks of a data set."""

    video: int
    """Index of the video in the data set."""
    frames: tuple[int, ...]
    """Indices of the frames in the video."""
    seed: int
    """Of all random choices made for this clip."""
    given: int = 1
    """Frames, from the first on, whose masks are handed to the network."""
    attempts: tuple[Attempt, ...] = ()
    """Draws, the first of which that fits is read in place of ``frames``; the last one if none does."""
    foreground: int = 0
    """Pixels of objects that a reference in ``attempts`` should have more than, at the video's own size."""


class Sample(NamedTuple):
    """One training clip as read, before augmentation and batching."""

    frames: UInt8[Tensor, "T 3 Y X"]
    labels: UInt8[Tensor, "T Y X"]
    """Slot + 1 per pixel, 0 background, VOID unlabelled."""
    given: Bool[Tensor, "T K"]
    meta: ClipMeta


class VideoDataset(Dataset[Sample], ABC):
    """An index of videos; what to read is decided by a sampler's ``ClipRequest``.

    Args:
        videos: Names of the videos.
    """

    def __init__(self, videos: Sequence[str]) -> None:
        self.videos = tuple(videos)

    def __len__(self) -> int:
        return len(self.videos)

    @abstractmethod
    def video(self, index: int) -> Video:
        """A lazy view of one video."""

    @property
    @abstractmethod
    def annotated(self) -> Sequence[Sequence[int]]:
        """Indices of the annotated frames of each video, without opening any file."""

    @property
    @abstractmethod
    def lengths(self) -> Sequence[int]:
        """Number of frames of each video."""

    def __getitem__(self, request: ClipRequest) -> Sample:
        """The clip a sampler asks for: a pure function of the request.

        Slots are the objects of the clip's first frame, by id; everything else is background. Should the first frame
        show no object, the clip is moved in time, frame gaps kept, up to ``TRIES - 1`` times.
        """
        video = self.video(request.video)
        frames, ids = request.frames, list[int]()
        known: dict[int, Integer[Tensor, "Y X"]] = {}
        if request.attempts:
            frames = _first_that_fits(request, video, known)
        draw = np.random.default_rng(request.seed)
        annotated = np.asarray(self.annotated[request.video])
        first = _read(video, frames[0], known)
        for _ in range(TRIES - 1):
            if ids := present_ids(first[1]):
                break
            frames = _moved(frames, annotated, draw)
            first = _read(video, frames[0], known)
        ids = ids or present_ids(first[1])
        pairs = [first, *(_read(video, i, known) for i in frames[1:])]
        labels = torch.stack([slot_labels(pair[1], ids) for pair in pairs])
        given = torch.zeros(len(frames), len(ids), dtype=torch.bool)
        given[: request.given] = True
        meta = ClipMeta(video.name, tuple(video.frames[i] for i in frames), tuple(ids), video.size, request.seed)
        return Sample(torch.stack([pair[0] for pair in pairs]), labels, given, meta)


def _first_that_fits(request: ClipRequest, video: Video, known: dict[int, Integer[Tensor, "Y X"]]) -> tuple[int, ...]:
    """Frames of the first attempt that fits, or of the last one; ``known`` collects the masks that were read."""

    def ids(frame: int) -> Integer[Tensor, "Y X"]:
        if frame not in known:
            known[frame] = video.id_map(frame)
        return known[frame]

    frames = request.frames
    for references, others in request.attempts:
        enough = (r for r in references if ((ids(r) > 0) & (ids(r) != VOID)).sum() > request.foreground)
        first = next(enough, references[-1])
        frames, shown = (first, *others), set(present_ids(ids(first)))
        if all(shown.issuperset(present_ids(ids(frame))) for frame in others):
            break
    return frames


def _read(
    video: Video, index: int, known: Mapping[int, Integer[Tensor, "Y X"]]
) -> tuple[UInt8[Tensor, "3 Y X"], Integer[Tensor, "Y X"]]:
    """A frame and its object ids, whose mask may have been read before."""
    return (video.frame(index), known[index]) if index in known else video.read(index)


def _moved(frames: tuple[int, ...], annotated: Integer[np.ndarray, " n"], draw: np.random.Generator) -> tuple[int, ...]:
    """The same steps through the annotated frames from another start."""
    places = np.searchsorted(annotated, frames)
    shift = draw.integers(-places.min(), len(annotated) - places.max())
    return tuple(annotated[places + shift].tolist())
