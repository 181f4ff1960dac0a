"""YouTube-VOS, and the data sets that took over its layout: MOSE, LVOS, the Long Videos set."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from vosfw.data.file_video import FileDataset, FileVideo
from vosfw.data.index import data_root, frame_files, list_files, mask_files, select_videos, subfolder
from vosfw.errors import DatasetError


class YouTubeVOSDataset(FileDataset):
    """``<split>/JPEGImages/<video>/*.jpg`` and ``<split>/Annotations/<video>/*.png``; objects may join later.

    YouTube-VOS (Xu et al., ECCV 2018), releases 2018 and 2019: every fifth frame is there and, in ``train``,
    annotated; in ``valid`` and ``test`` each object is given in the frame in which it appears first. MOSE (Ding et al.,
    ICCV 2023) and LVOS (Hong et al., ICCV 2023) have the same folders; the Long Videos set (Liang et al., NeurIPS 2020)
    has no folder of splits and few annotated frames.

    Args:
        root: Folder that holds the splits, or ``JPEGImages`` and ``Annotations`` themselves.
        split: Name of a split's folder; ``all`` where there are none.
        videos: Some of its videos, or the name of a list ``<videos>.txt`` in the split's folder or the root; ``all``.
        all_frames: Read ``<split>_all_frames/JPEGImages``: every frame is seen, those of ``split`` alone are wanted.
        resize_masks: Resize masks of another size than their frame, instead of refusing them.
        join: ``any``: an object is given in the first mask that shows it; ``first``: all of them in the first one.

    Raises:
        DatasetError: If folders, frames or masks are missing.
    """

    def __init__(
        self,
        root: Path | str | None,
        split: str = "valid",
        videos: str | Sequence[str] = "all",
        *,
        all_frames: bool = False,
        resize_masks: bool = False,
        join: Literal["first", "any"] = "any",
    ) -> None:
        root = data_root(root)
        home = root if split == "all" else subfolder(root, split)
        annotations = subfolder(home, "Annotations")
        seen = subfolder(root, f"{split}_all_frames", "JPEGImages") if all_frames else subfolder(home, "JPEGImages")
        present = sorted(folder.name for folder in annotations.iterdir() if folder.is_dir())
        names = select_videos(videos, {**list_files(root), **list_files(home)}, present, present)
        frames = [frame_files(seen / name) for name in names]
        masks = [
            mask_files(annotations / name, [file.stem for file in files])
            for name, files in zip(names, frames, strict=True)
        ]
        wanted = None
        if all_frames:
            required = [{file.stem for file in frame_files(home / "JPEGImages" / name)} for name in names]
            wanted = [[file.stem in few for file in files] for few, files in zip(required, frames, strict=True)]
        super().__init__(names, frames, masks, join=join, wanted=wanted, resize_masks=resize_masks)
        self.categories = read_categories(home / "meta.json")
        trained = read_categories(root / "train" / "meta.json").values()
        self.seen = frozenset(name for objects in trained for name in objects.values())
        """Categories of the training split; empty if it is not there."""

    def video(self, index: int) -> FileVideo:
        """A lazy view of one video."""
        video = super().video(index)
        if self.seen:
            known = self.categories.get(video.name, {})
            video.groups = {id_: "seen" if name in self.seen else "unseen" for id_, name in known.items()}
        return video


def read_categories(path: Path) -> dict[str, dict[int, str]]:
    """Category of each object of each video, by ``meta.json``; nothing without the file.

    Raises:
        DatasetError: If the file is damaged or of another format.
    """
    if not path.is_file():
        return {}
    try:
        videos: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["videos"]
        return {
            name: {int(id_): str(found.get("category", "")) for id_, found in video["objects"].items()}
            for name, video in videos.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"'{path}' is no meta.json of YouTube-VOS ({type(error).__name__}: {error}); wanted videos, their objects "
            "and categories. Copy it again from the data set."
        ) from error
