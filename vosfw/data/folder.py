"""Your own videos: a folder of pictures or a video file each, and masks as PNG."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path

from vosfw.data.dataset import VideoDataset
from vosfw.data.index import data_root, frame_files, list_files, mask_files, read_list, select_videos, subfolder
from vosfw.data.video import FileVideo, frame_names
from vosfw.data.video_file import VIDEO_SUFFIXES, VideoFile
from vosfw.errors import DatasetError


class FolderDataset(VideoDataset):
    """Videos in ``frames/<video>/*.jpg|png`` or ``frames/<video>.mp4``, masks in ``masks/<video>/*.png``.

    A mask has the name of its frame; frames of a video file are named 00000, 00001, ... Each object is given in the
    first mask that shows it, so objects may join later. Lists are text files in ``root``, a video's name per line.

    Args:
        root: Folder that holds ``frames`` and ``masks``.
        split: Name of a list (``train`` for ``train.txt``), of a video, several videos, or ``all`` (those of
            ``split.txt`` if there is one, else every video).

    Raises:
        DatasetError: If folders, lists, frames or masks are missing or do not fit together.
    """

    def __init__(self, root: Path | str | None, split: str | Sequence[str] = "all") -> None:
        self.root = data_root(root)
        pictures = subfolder(self.root, "frames")
        places: dict[str, Path] = {}
        for path in sorted(pictures.iterdir()):
            if not path.is_dir() and path.suffix.lower() not in VIDEO_SUFFIXES:
                continue
            name = path.name if path.is_dir() else path.stem
            if name in places:
                raise DatasetError(f"Two videos '{name}' in '{pictures}': {places[name].name}, {path.name}. Keep one.")
            places[name] = path
        lists = list_files(self.root)
        everything = read_list(lists["split"]) if "split" in lists else list(places)
        super().__init__(select_videos(split, lists, list(places), everything))
        paths = [places[name] for name in self.videos]
        self._frames = [VideoFile(path) if path.is_file() else frame_files(path) for path in paths]
        self._masks = [
            mask_files(self.root / "masks" / name, frame_names(frames))
            for name, frames in zip(self.videos, self._frames, strict=True)
        ]

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
        return FileVideo(self.videos[index], frames, self._masks[index], join="any")
