"""DAVIS 2016 and 2017."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vosfw.data.file_video import FileDataset
from vosfw.data.index import data_root, frame_files, list_files, mask_files, read_list, select_videos, subfolder
from vosfw.errors import DatasetError


class DavisDataset(FileDataset):
    """DAVIS (Perazzi et al., CVPR 2016; Pont-Tuset et al., 2017): all objects are given in frame 0.

    Args:
        root: Folder that holds ``JPEGImages``, ``Annotations`` and ``ImageSets``.
        split: Name of a list in ``ImageSets/<year>``, of a sequence, ``all``, or several sequences.
        year: 2016 or 2017: whose lists, and whether objects are merged into one.
        resolution: Folder under ``JPEGImages`` and ``Annotations``.
        single_object: Merge all objects into one; by default for 2016.
        resize_masks: Resize masks of another size than their frame, instead of refusing them.

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
        *,
        resize_masks: bool = False,
    ) -> None:
        root = data_root(root)
        pictures = subfolder(root, "JPEGImages", resolution)
        annotations = subfolder(root, "Annotations", resolution)
        # The original 2016 release names the folder of its lists by resolution.
        folders = [root / "ImageSets" / name for name in (str(year), resolution)]
        lists = next((files for folder in folders if (files := list_files(folder))), {})
        present = sorted(folder.name for folder in pictures.iterdir() if folder.is_dir())
        listed = sorted({name for file in lists.values() for name in read_list(file)})
        videos = select_videos(split, lists, present, listed or present)
        frames = [frame_files(pictures / name) for name in videos]
        masks = [
            mask_files(annotations / name, [f.stem for f in files]) for name, files in zip(videos, frames, strict=True)
        ]
        for pictures_of, pngs in zip(frames, masks, strict=True):
            _check(pictures_of, pngs, annotations)
        binary = year == 2016 if single_object is None else single_object
        super().__init__(videos, frames, masks, binary=binary, resize_masks=resize_masks)


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
