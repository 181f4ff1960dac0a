"""DAVIS 2016 and 2017."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vosfw.data.dataset import VideoDataset
from vosfw.data.index import data_root, frame_files, list_files, mask_files, read_list, select_videos, subfolder
from vosfw.data.video import FileVideo
from vosfw.errors import DatasetError


class DavisDataset(VideoDataset):
    """DAVIS (Perazzi et al., CVPR 2016; Pont-Tuset et al., 2017): all objects are given in frame 0.

    Args:
        root: Folder that holds ``JPEGImages``, ``Annotations`` and ``ImageSets``.
        split: Name of a list in ``ImageSets/<year>``, of a sequence, ``all``, or several sequences.
        year: 2016 or 2017: whose lists, and whether objects are merged into one.
        resolution: Folder under ``JPEGImages`` and ``Annotations``.
        single_object: Merge all objects into one; by default for 2016.

    Raises:
        DatasetError: If folders, lists, frames or first masks are missing.
    """

    def __init__(
        self,
        root: Path | str | None,
        split: str | Sequence[str] = "val",
        year: Literal[2016, 2017] = 2017,
        resolution: str = "480p",
        single_object: bool | None = None,
    ) -> None:
        self.root = data_root(root)
        self.binary = year == 2016 if single_object is None else single_object
        pictures = subfolder(self.root, "JPEGImages", resolution)
        annotations = subfolder(self.root, "Annotations", resolution)
        # The original 2016 release names the folder of its lists by resolution.
        folders = [self.root / "ImageSets" / name for name in (str(year), resolution)]
        lists = next((files for folder in folders if (files := list_files(folder))), {})
        present = sorted(folder.name for folder in pictures.iterdir() if folder.is_dir())
        listed = sorted({name for file in lists.values() for name in read_list(file)})
        super().__init__(select_videos(split, lists, present, listed or present))
        self._frames = [frame_files(pictures / name) for name in self.videos]
        self._masks = [
            mask_files(annotations / name, [f.stem for f in frames])
            for name, frames in zip(self.videos, self._frames, strict=True)
        ]
        for frames, masks in zip(self._frames, self._masks, strict=True):
            _check(frames, masks, annotations)

    @property
    def lengths(self) -> list[int]:
        """Number of frames of each sequence."""
        return [len(frames) for frames in self._frames]

    @property
    def annotated(self) -> list[list[int]]:
        """Indices of the frames with a mask, of each sequence."""
        return [sorted(masks) for masks in self._masks]

    def video(self, index: int) -> FileVideo:
        """A lazy view of one sequence."""
        return FileVideo(self.videos[index], self._frames[index], self._masks[index], binary=self.binary)


def _check(frames: Sequence[Path], masks: dict[int, Path], annotations: Path) -> None:
    folder = frames[0].parent
    numbers = [int(f.stem) for f in frames if f.stem.isdigit()]
    if len(numbers) == len(frames) and numbers[-1] - numbers[0] + 1 != len(numbers):
        missing = next(n for n, m in zip(range(numbers[0], numbers[-1]), numbers, strict=False) if n != m)
        name = str(missing).zfill(len(frames[0].stem))
        raise DatasetError(
            f"No frame '{name}' in '{folder}', which has {len(numbers)} frames from '{frames[0].stem}' to "
            f"'{frames[-1].stem}'. Add it; the frames of DAVIS have no gaps."
        )
    if 0 not in masks:
        raise DatasetError(
            f"No mask for frame '{frames[0].stem}' of '{folder.name}' in '{annotations / folder.name}', but DAVIS "
            f"gives the objects there. Add {frames[0].stem}.png or take the sequence out of the split."
        )
