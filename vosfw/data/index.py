"""Which frames and masks lie in a folder, and which videos a list names."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from vosfw.data.io import FRAME_SUFFIXES
from vosfw.errors import DatasetError


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key by which frame_2 comes before frame_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.stem)]


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
    for path in sorted(folder.glob("*.png"), key=_natural):
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
    """Video names of a list file: a name, or the path of one of its frames, per line."""
    lines = [line.split()[0] for line in path.read_text().splitlines() if line.strip() and line[0] != "#"]
    return list(dict.fromkeys(Path(line).parent.name if "/" in line else line for line in lines))


def select_videos(split: str | Sequence[str], lists: Path | None, present: Sequence[str]) -> list[str]:
    """The videos that ``split`` names.

    Args:
        split: Name of a list file in ``lists``, of one video, ``all`` (videos of all lists; without lists all
            that are there), or several names of videos.
        lists: Folder of ``<split>.txt`` files.
        present: Videos that are there.

    Raises:
        DatasetError: If a name is unknown or nothing is selected.
    """
    files = {f.stem: f for f in sorted(lists.glob("*.txt"))} if lists is not None and lists.is_dir() else {}
    if not isinstance(split, str):
        names = list(split)
    elif split in files:
        names = read_list(files[split])
    elif split == "all":
        names = sorted({name for f in files.values() for name in read_list(f)} if files else present)
    else:
        names = [split]
    known = set(present)
    for name in names:
        if name not in known:
            near = get_close_matches(name, [*files, *present], n=3)
            raise DatasetError(
                f"No video{' or list' if isinstance(split, str) else ''} '{name}' (split {split!r}). "
                f"Lists in '{lists}': {', '.join(files) or 'none'}; {len(present)} videos are there"
                f"{', nearest: ' + ', '.join(near) if near else ''}. Correct data.split or add the video's folder."
            )
    if not names:
        raise DatasetError(f"The split {split!r} names no video. Lists in '{lists}': {', '.join(files) or 'none'}.")
    return names
