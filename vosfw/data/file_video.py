"""Videos made of files, and data sets of them."""

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

from vosfw.data.dataset import VideoDataset
from vosfw.data.io import frame_size, read_frame, read_mask
from vosfw.data.video import Video
from vosfw.data.video_file import VideoFile
from vosfw.errors import DatasetError


def frame_names(frames: Sequence[Path] | VideoFile) -> list[str]:
    """Names without suffix; frames of a video file are called 00000, 00001, ..."""
    return [f"{i:05d}" for i in range(len(frames))] if isinstance(frames, VideoFile) else [f.stem for f in frames]


class FileVideo(Video):
    """A video of picture files, or a video file, with masks as PNG.

    Args:
        name: Of the video.
        frames: Paths of the frames in time order, or a video file (its frames are named 00000, 00001, ...).
        masks: Path of each mask by the index of its frame.
        join: See ``Video``.
        binary: Read every value but 0 as object 1 (DAVIS 2016).
        wanted: See ``Video``.
        resize_masks: Resize masks of another size than their frame, instead of refusing them.
    """

    def __init__(
        self,
        name: str,
        frames: Sequence[Path] | VideoFile,
        masks: Mapping[int, Path],
        *,
        join: Literal["first", "any"] = "first",
        binary: bool = False,
        wanted: Sequence[bool] | None = None,
        resize_masks: bool = False,
    ) -> None:
        if len(frames) == 0:
            raise DatasetError(f"The video '{name}' has no frames. Add pictures or take it out of the list.")
        super().__init__(name, frame_names(frames), tuple(masks), join=join, wanted=wanted)
        self._source = frames
        self._masks = dict(masks)
        self._binary, self._resize = binary, resize_masks

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the first frame; all others must agree."""
        return self._source.size if isinstance(self._source, VideoFile) else frame_size(self._source[0])

    def frame_path(self, index: int) -> Path:
        """The file of a frame; of a video file's frame the place it would have in a folder of the file's name."""
        source = self._source
        if isinstance(source, VideoFile):
            return source.path.with_suffix("") / f"{self.frames[index]}.png"
        return source[index]

    def mask_path(self, index: int) -> Path:
        """The file of an annotated frame's mask."""
        return self._masks[index]

    def frame(self, index: int) -> UInt8[Tensor, "3 Y X"]:
        """One RGB frame.

        Raises:
            DatasetError: If it is missing, damaged or of another size than the first.
        """
        source = self._source[index]
        frame = source if isinstance(source, Tensor) else read_frame(source)
        if frame.shape[1:] != self.size:
            raise DatasetError(
                f"Frame '{self.frames[index]}' of '{self.name}' is {tuple(frame.shape[1:])}, the first one {self.size} "
                "(height, width). Export all frames at one size."
            )
        return frame

    def id_map(self, index: int) -> Integer[Tensor, "Y X"]:
        """Object ids of an annotated frame.

        Raises:
            DatasetError: If the frame has no mask, or the mask is damaged or does not fit the frame.
        """
        if index not in self._masks:
            raise DatasetError(f"Frame '{self.frames[index]}' of '{self.name}' has no mask. Add one, or do not ask.")
        ids = read_mask(self._masks[index], self.size, resize=self._resize)
        return (ids > 0).to(torch.uint8) if self._binary else ids


class FileDataset(VideoDataset):
    """Videos whose files were found when the data set was opened; what differs between layouts is where they lie.

    Args:
        videos: Names of the videos.
        frames: Frames of each, as ``FileVideo`` takes them.
        masks: Masks of each, likewise.
        join: See ``Video``.
        binary: See ``FileVideo``.
        wanted: Of each video; all frames by default.
        resize_masks: See ``FileVideo``.
    """

    def __init__(
        self,
        videos: Sequence[str],
        frames: Sequence[Sequence[Path] | VideoFile],
        masks: Sequence[Mapping[int, Path]],
        *,
        join: Literal["first", "any"] = "first",
        binary: bool = False,
        wanted: Sequence[Sequence[bool] | None] | None = None,
        resize_masks: bool = False,
    ) -> None:
        super().__init__(videos)
        self._frames, self._masks = tuple(frames), tuple(masks)
        self._wanted = (None,) * len(videos) if wanted is None else tuple(wanted)
        self.join, self.binary, self.resize_masks = join, binary, resize_masks

    @property
    def lengths(self) -> list[int]:
        """Number of frames of each video."""
        return [len(frames) for frames in self._frames]

    @property
    def annotated(self) -> list[list[int]]:
        """Indices of the frames with a mask, of each video."""
        return [sorted(masks) for masks in self._masks]

    def video(self, index: int) -> FileVideo:
        """A lazy view of one video."""
        frames = self._frames[index]
        # Views of one file must not share a decoder.
        frames = copy(frames) if isinstance(frames, VideoFile) else frames
        return FileVideo(
            self.videos[index],
            frames,
            self._masks[index],
            join=self.join,
            binary=self.binary,
            wanted=self._wanted[index],
            resize_masks=self.resize_masks,
        )
