"""Your own videos: a folder of pictures or a video file each, and masks as PNG."""

from collections.abc import Sequence
from pathlib import Path

from vosfw.data.file_video import FileDataset, frame_names
from vosfw.data.index import data_root, frame_files, list_files, mask_files, read_list, select_videos, subfolder
from vosfw.data.video_file import VIDEO_SUFFIXES, VideoFile
from vosfw.errors import DatasetError


class FolderDataset(FileDataset):
    """Videos in ``frames/<video>/*.jpg|png`` or ``frames/<video>.mp4``, masks in ``masks/<video>/*.png``.

    A mask has the name of its frame; frames of a video file are named 00000, 00001, ... Each object is given in the
    first mask that shows it, so objects may join later. Lists are text files in ``root``, a video's name per line.

    Args:
        root: Folder that holds ``frames`` and ``masks``.
        split: Name of a list (``train`` for ``train.txt``), of a video, several videos, or ``all`` (those of
            ``split.txt`` if there is one, else every video).
        resize_masks: Resize masks of another size than their frame, instead of refusing them.

    Raises:
        DatasetError: If folders, lists, frames or masks are missing or do not fit together.
    """

    def __init__(
        self, root: Path | str | None, split: str | Sequence[str] = "all", *, resize_masks: bool = False
    ) -> None:
        root = data_root(root)
        pictures = subfolder(root, "frames")
        places: dict[str, Path] = {}
        for path in sorted(pictures.iterdir()):
            if not path.is_dir() and path.suffix.lower() not in VIDEO_SUFFIXES:
                continue
            name = path.name if path.is_dir() else path.stem
            if name in places:
                raise DatasetError(f"Two videos '{name}' in '{pictures}': {places[name].name}, {path.name}. Keep one.")
            places[name] = path
        lists = list_files(root)
        everything = read_list(lists["split"]) if "split" in lists else list(places)
        videos = select_videos(split, lists, list(places), everything)
        frames = [VideoFile(places[name]) if places[name].is_file() else frame_files(places[name]) for name in videos]
        masks = [
            mask_files(root / "masks" / name, frame_names(source)) for name, source in zip(videos, frames, strict=True)
        ]
        super().__init__(videos, frames, masks, join="any", resize_masks=resize_masks)
