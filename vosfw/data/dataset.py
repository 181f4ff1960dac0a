"""What every data set of videos shares: an index, videos as lazy views, and clips on request."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Integer, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from vosfw.data.video import Video, present_ids, slot_labels
from vosfw.types import ClipMeta

TRIES = 5
"""Draws until a clip's first frame shows an object (STCN: 5); after that the clip is all background."""


class ClipRequest(NamedTuple):
    """What a sampler asks of a data set."""

    video: int
    """Index of the video in the data set."""
    frames: tuple[int, ...]
    """Indices of the frames in the video."""
    seed: int
    """Of all random choices made for this clip."""


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
        frames, first = request.frames, video.read(request.frames[0])
        ids = present_ids(first[1])
        draw = np.random.default_rng(request.seed)
        annotated = np.asarray(self.annotated[request.video])
        for _ in range(TRIES - 1):
            if ids:
                break
            frames = _moved(frames, annotated, draw)
            first = video.read(frames[0])
            ids = present_ids(first[1])
        pairs = [first, *(video.read(i) for i in frames[1:])]
        labels = torch.stack([slot_labels(pair[1], ids) for pair in pairs])
        given = torch.zeros(len(frames), len(ids), dtype=torch.bool)
        given[0] = True
        meta = ClipMeta(video.name, tuple(video.frames[i] for i in frames), tuple(ids), video.size, request.seed)
        return Sample(torch.stack([pair[0] for pair in pairs]), labels, given, meta)


def _moved(frames: tuple[int, ...], annotated: Integer[np.ndarray, " n"], draw: np.random.Generator) -> tuple[int, ...]:
    """The same steps through the annotated frames from another start."""
    places = np.searchsorted(annotated, frames)
    shift = draw.integers(-places.min(), len(annotated) - places.max())
    return tuple(annotated[places + shift].tolist())
