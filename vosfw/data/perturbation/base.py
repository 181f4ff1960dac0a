"""What perturbations share: a severity, a seed, and videos that are spoilt when they are read."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Float32, Integer, UInt8
from torch import Tensor

from vosfw.data.dataset import VideoDataset
from vosfw.data.video import Video
from vosfw.errors import ConfigError

Scale: TypeAlias = Sequence[float | int] | float | int
"""A number for each severity, or one for all."""
Picture: TypeAlias = UInt8[np.ndarray, "Y X 3"]


class Dice(NamedTuple):
    """Random numbers that depend on nothing but these four names: the same bytes in any process, in any order."""

    seed: int
    kind: str
    """Class of the perturbation. Its severities share their draws."""
    video: str
    frame: str
    """Name of the frame, the same in any subset of the video's frames."""

    def of_frame(self) -> np.random.Generator:
        """A fresh generator for this frame."""
        return self._generator(self.frame)

    def of_video(self) -> np.random.Generator:
        """A fresh generator that starts alike in all frames of the video."""
        return self._generator("")

    def _generator(self, frame: str) -> np.random.Generator:
        text = "\0".join((str(self.seed), self.kind, self.video, frame))
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest)))


class Perturbation(ABC):
    """One way to spoil a video, without touching the truth it is scored with.

    Args:
        severity: From 1 on: which entry of its scales a kind takes.
        seed: Of all its random numbers, with the names of video and frame.

    Raises:
        ConfigError: If ``severity`` is no whole number from 1 on.
    """

    eight_bit = True
    """Whether frames stay uint8, so that they can be written to files."""

    def __init__(self, severity: int = 1, seed: int = 0) -> None:
        if isinstance(severity, bool) or severity != int(severity) or severity < 1:
            raise ConfigError(f"{type(self).__name__}: severity is {severity}; wanted a whole number from 1 on.")
        self.severity, self.seed = severity, seed

    @abstractmethod
    def apply(self, video: Video) -> Video:
        """A view of the video that is spoilt as it is read."""

    def dice(self, video: Video, frame: str) -> Dice:
        """Random numbers for one frame."""
        return Dice(self.seed, type(self).__name__, video.name, frame)

    def at_severity(self, name: str, scale: Scale, low: float | int, high: float | int = float("inf")) -> float | int:
        """The number of a scale that belongs to the severity.

        Raises:
            ConfigError: If the scale is too short, or a number lies outside ``low`` to ``high``.
        """
        single = isinstance(scale, float | int)
        values = [scale] if isinstance(scale, float | int) else list(scale)
        if wrong := [value for value in values if not low <= value <= high]:
            raise ConfigError(f"{type(self).__name__}: {name} is {wrong[0]}; wanted a number from {low} to {high}.")
        if not single and self.severity > len(values):
            raise ConfigError(
                f"{type(self).__name__}: severity is {self.severity}; wanted 1 to {len(values)}, since {name} has the "
                f"values {', '.join(map(str, values))}."
            )
        return values[0] if single else values[self.severity - 1]

    def whole_at_severity(self, name: str, scale: Scale, low: int) -> int:
        """The same for whole numbers.

        Raises:
            ConfigError: Likewise, or if the number is not whole.
        """
        value = self.at_severity(name, scale, low)
        if value != int(value):
            raise ConfigError(f"{type(self).__name__}: {name} is {value}; wanted a whole number.")
        return int(value)


class VideoView(Video):
    """Another video as it is; what differs is overridden.

    Args:
        video: The other video.
    """

    def __init__(self, video: Video) -> None:
        super().__init__(video.name, video.frames, video.annotated, join=video.join, wanted=video.wanted)
        self.video = video
        self.groups = video.groups

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.video.size

    @cached_property
    def introduced(self) -> dict[int, int]:
        """The frame in which each object id is handed over, in the order of slots."""
        return self.video.introduced

    def frame(self, index: int) -> UInt8[Tensor, "3 Y X"] | Float32[Tensor, "3 Y X"]:
        """One RGB frame."""
        return self.video.frame(index)

    def id_map(self, index: int) -> Integer[Tensor, "Y X"]:
        """The truth: object ids of one annotated frame."""
        return self.video.id_map(index)


class FramePerturbation(Perturbation):
    """Spoils every frame by itself, annotated ones too, at its own size, before any resizing."""

    @abstractmethod
    def spoil(self, frame: Picture, dice: Dice, index: int) -> Picture | Float32[np.ndarray, "Y X 3"]:
        """One RGB frame, spoilt: uint8, or float32 in grey levels that may leave 0..255.

        Args:
            frame: As read.
            dice: Its random numbers.
            index: Its number in the video, for what moves.
        """

    def apply(self, video: Video) -> Video:
        """A view of the video with spoilt frames."""
        return _SpoiltFrames(video, self)


class _SpoiltFrames(VideoView):
    def __init__(self, video: Video, perturbation: FramePerturbation) -> None:
        super().__init__(video)
        self.perturbation = perturbation

    def frame(self, index: int) -> UInt8[Tensor, "3 Y X"] | Float32[Tensor, "3 Y X"]:
        frame = np.ascontiguousarray(self.video.frame(index).permute(1, 2, 0).numpy())
        dice = self.perturbation.dice(self.video, self.frames[index])
        spoilt = torch.from_numpy(np.ascontiguousarray(self.perturbation.spoil(frame, dice, index).transpose(2, 0, 1)))
        return spoilt / 255 if spoilt.is_floating_point() else spoilt


class PerturbedDataset(VideoDataset):
    """The videos of another data set, perturbed.

    Args:
        videos: The other data set.
        perturbation: What befalls them.
    """

    def __init__(self, videos: VideoDataset, perturbation: Perturbation) -> None:
        super().__init__(videos.videos)
        self.source, self.perturbation = videos, perturbation

    @property
    def lengths(self) -> Sequence[int]:
        """Number of frames of each video."""
        return self.source.lengths

    @property
    def annotated(self) -> Sequence[Sequence[int]]:
        """Indices of the annotated frames of each video."""
        return self.source.annotated

    def video(self, index: int) -> Video:
        """A lazy view of one video."""
        return self.perturbation.apply(self.source.video(index))


def to_eight_bit(frame: Float32[np.ndarray, "Y X 3"]) -> Picture:
    """Grey levels, clipped to 0..255 and rounded."""
    clipped: Picture = np.rint(frame.clip(0, 255)).astype(np.uint8)
    return clipped
