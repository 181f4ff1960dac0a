"""Which frames and masks lie in a folder, and which videos a list names."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from vosfw.data.io import FRAME_SUFFIXES
from vosfw.errors import ConfigError, DatasetError


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key by which frame_2 comes before frame_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.stem)]


def data_root(root: Path | str | None) -> Path:
    """The folder of a data set.

    Raises:
        ConfigError: If it is not set.
    """
    if root is None:
        raise ConfigError("The folder of the data set is not set. Set data.root=DIR.")
    return Path(root).expanduser()


def subfolder(root: Path, *names: str) -> Path:
    """A folder that must be there.

    Raises:
        DatasetError: If it is not.
    """
    folder = root.joinpath(*names)
    if not folder.is_dir():
        raise DatasetError(f"No folder '{folder}'. Set data.root to the folder that holds '{names[0]}'.")
    return folder


def frame_files(folder: Path) -> list[Path]:
    """Pictures of one video in time order: names sorted, numbers in them by value.

    Raises:
        DatasetError: If there is none, or two have the same name.
    """
    files = sorted((f for f in folder.glob("*") if f.suffix.lower() in FRAME_SUFFIXES), key=_natural)
    if not files:
        raise DatasetError(
            f"No frames in '{folder}'. Put pictures ({', '.join(FRAME_SUFFIXES)}) there or take the video out."
        )
    for first, second in pairwise(files):
        if first.stem == second.stem:
            raise DatasetError(f"Two frames named '{first.stem}' in '{folder}': {first.name}, {second.name}. Keep one.")
    return files


def mask_pictures(folder: Path) -> list[Path]:
    """PNGs in a folder, ``.PNG`` too, in the order of frames; none if there is no folder."""
    return sorted((path for path in folder.glob("*") if path.suffix.lower() == ".png"), key=_natural)


def mask_files(folder: Path, frames: Sequence[str]) -> dict[int, Path]:
    """Masks of one video by the index of the frame that has their name.

    Args:
        folder: With one PNG per annotated frame.
        frames: Names of the video's frames, without suffix.

    Raises:
        DatasetError: If there is none, or the frame of a mask is missing.
    """
    places = {stem: i for i, stem in enumerate(frames)}
    masks: dict[int, Path] = {}
    for path in mask_pictures(folder):
        if path.stem not in places:
            raise DatasetError(
                f"No frame '{path.stem}' for the mask '{path}'; the video has {len(frames)} frames, "
                f"'{frames[0]}' to '{frames[-1]}'. Add the frame or remove the mask."
            )
        masks[places[path.stem]] = path
    if not masks:
        raise DatasetError(f"No masks in '{folder}'. Put a PNG there, named like the frame it belongs to.")
    return masks


def read_list(path: Path) -> list[str]:
    """Video names of a list file: a name, or the path of one of its frames, per line.

    Raises:
        DatasetError: If the file is no UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"The list '{path}' is no UTF-8 text ({error}). Save it as UTF-8.") from error
    lines = [line.split()[0] for line in text.splitlines() if line.strip() and line[0] != "#"]
    return list(dict.fromkeys(Path(line).parent.name if "/" in line else line for line in lines))


def list_files(folder: Path) -> dict[str, Path]:
    """Lists (``*.txt``) in a folder, by name."""
    return {path.stem: path for path in sorted(folder.glob("*.txt"))}


def select_videos(
    split: str | Sequence[str], lists: Mapping[str, Path], present: Sequence[str], everything: Sequence[str]
) -> list[str]:
    """The videos that ``split`` names.

    Args:
        split: Name of a list, of one video, ``all``, or several names of videos.
        lists: List files by name.
        present: Videos that are there.
        everything: What ``all`` means.

    Raises:
        DatasetError: If a name is unknown or nothing is selected.
    """
    if not isinstance(split, str):
        names = [str(name) for name in split]
    elif split in lists:
        names = read_list(lists[split])
    else:
        names = list(everything) if split == "all" else [split]
    known = set(present)
    for name in names:
        if name not in known:
            near = get_close_matches(name, [*lists, *present], n=3)
            raise DatasetError(
                f"No video{' or list' if name == split else ''} '{name}' (split {split!r}); {len(present)} videos are "
                f"there, and the lists {', '.join(lists) or '(none)'}{'; nearest: ' + ', '.join(near) if near else ''}."
                " Correct data.split (train_split, val_split) or add the video."
            )
    if not names:
        raise DatasetError(f"The split {split!r} names no video; {len(present)} are there. Fill it or choose another.")
    return names
