"""Which frames and objects annotations mean: videos, files, ids of the palette."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vosfw.data.annotated import Annotations, Picture, Shape
from vosfw.data.frame_finder import clean_name, extra_frames, find_frame, folder_of, natural, numbered_frames
from vosfw.data.io import frame_size
from vosfw.data.places import Problem
from vosfw.data.video_file import VIDEO_SUFFIXES, VideoFile
from vosfw.errors import DatasetError
from vosfw.types import MAX_SLOTS


class Frame(NamedTuple):
    """One frame of a video."""

    name: str
    """Without suffix."""
    path: Path | None
    """None in a video file."""
    size: tuple[int, int]
    picture: Picture | None
    """None without annotation."""


class Item(NamedTuple):
    """An object of a video."""

    category: str
    track: str


class Plan(NamedTuple):
    """One video to be written."""

    name: str
    source: VideoFile | None
    frames: tuple[Frame, ...]
    objects: dict[tuple[str, str], int]
    """Id in the palette, by category and track."""
    renamed: bool
    """Frames are numbered, since their names do not sort in order of time or are not unique."""


def plan_videos(found: Annotations, frames: Path | None = None, video: str | None = None) -> list[Plan]:
    """Find frames and number objects; what is wrong is added to ``found.problems``.

    Args:
        found: Annotations.
        frames: Folder of frames, or video file; beside the annotations if left out.
        video: Name of the one video that all frames belong to.

    Raises:
        DatasetError: If ``frames`` does not exist, or is a video file and there are several videos.
    """
    root = frames if frames is not None else found.path if found.path.is_dir() else found.path.parent
    if frames is not None and not frames.exists():
        raise DatasetError(f"No file or folder '{frames}' (--frames). Name the folder of frames, or the video file.")
    if root.is_file() and root.suffix.lower() not in VIDEO_SUFFIXES:
        raise DatasetError(f"'{root}' (--frames) is no video ({', '.join(VIDEO_SUFFIXES)}); name a video or a folder.")
    own = video or clean_name(found.path.stem if root.is_dir() and found.path.is_file() else root.stem)
    groups: dict[str, list[Picture]] = defaultdict(list)
    for picture in found.pictures:
        groups[video or clean_name(picture.video or folder_of(picture) or own)].append(picture)
    if not groups:
        found.complain(found.path, "No frame in it. Export the annotations again, with the images.")
    if root.is_file():
        if len(groups) > 1:
            told = f"{len(groups)} videos ({', '.join(list(groups)[:3])}, ...)"
            raise DatasetError(f"'{root}' is one video, but the annotations tell of {told}. Add --video NAME.")
        return [_from_video(name, VideoFile(root), pictures, found) for name, pictures in groups.items()]
    placed = {name: _place(name, root, pictures, found) for name, pictures in groups.items()}
    owners: dict[Path, set[str]] = defaultdict(set)
    for name, places in placed.items():
        for path in places:
            owners[path.parent].add(name)
    own_folders = {folder for folder, names in owners.items() if len(names) == 1}
    return [_from_folder(name, places, own_folders, found) for name, places in placed.items()]


def _from_video(name: str, source: VideoFile, pictures: list[Picture], found: Annotations) -> Plan:
    placed: dict[int, Picture] = {}
    for picture in pictures:
        index = picture.number
        if index is None:
            digits = re.findall(r"\d+", PurePosixPath(picture.files[0]).stem) if picture.files else []
            index = int(digits[-1]) if digits else -1
        if not 0 <= index < len(source):
            told = "its name tells no number" if index < 0 else f"frame {index}"
            text = (
                f"{picture.where}: {told}, but '{source.path}' has the frames 0 to {len(source) - 1}. Is it the video?"
            )
            found.complain(found.path, text)
        elif index in placed:
            found.complain(found.path, f"{picture.where}: frame {index} a second time. Remove one.")
        else:
            placed[index] = picture
            _check_size(picture, source.size, source.path, found)
    frames = tuple(Frame(f"{i:05d}", None, source.size, placed.get(i)) for i in range(len(source)))
    return Plan(name, source, frames, _number(name, frames, found), renamed=False)


def _place(name: str, root: Path, pictures: list[Picture], found: Annotations) -> dict[Path, Picture]:
    """The frames of a video that are annotated, in order of time."""
    if all(picture.number is not None for picture in pictures):
        pictures = sorted(pictures, key=lambda picture: picture.number or 0)
    elif all(picture.files for picture in pictures):
        pictures = sorted(pictures, key=lambda picture: natural(picture.files[0]))
    placed: dict[Path, Picture] = {}
    numbered = numbered_frames(root) if any(not picture.files for picture in pictures) else []
    missing: list[str] = []
    for picture in pictures:
        try:
            path = find_frame(root, picture, numbered)
        except DatasetError as error:
            found.complain(found.path, f"{picture.where}: {error}")
            continue
        if path is None:
            missing.append(picture.where)
        elif path in placed:
            found.complain(found.path, f"{picture.where}: '{path}' a second time. Remove one of the two.")
        else:
            placed[path] = picture
    if missing:
        told = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        text = f"Video '{name}': {len(missing)} of {len(pictures)} frames are not in '{root}': {told}."
        text += " Say where with --frames."
        found.complain(found.path, text)
    return placed


def _from_folder(name: str, placed: dict[Path, Picture], own: set[Path], found: Annotations) -> Plan:
    paths = list(placed)
    if [path.stem for path in paths] == sorted((path.stem for path in paths), key=natural):
        # Frames that nobody annotated lie between the others, unless the folder is shared with other videos.
        extra = [path for folder in {path.parent for path in paths} & own for path in extra_frames(folder, paths)]
        if extra:
            paths = sorted([*paths, *extra], key=lambda path: (str(path.parent), natural(path.name)))
    stems = [path.stem for path in paths]
    renamed = len(set(stems)) < len(stems) or stems != sorted(stems, key=natural)
    if renamed and paths:
        found.complain(
            found.path, f"Video '{name}': names of frames do not sort in time; they become 00000, ...", error=False
        )
    frames = []
    for i, path in enumerate(paths):
        try:
            size = frame_size(path)
        except DatasetError as error:
            found.complain(path, str(error))
            continue
        one = placed.get(path)
        if one is not None:
            _check_size(one, size, path, found)
        frames.append(Frame(f"{i:05d}" if renamed else path.stem, path, size, one))
    sizes = Counter(frame.size for frame in frames)
    for frame in frames if len(sizes) > 1 else ():
        if frame.size != (most := sizes.most_common(1)[0][0]) and frame.path is not None:
            told = f"{frame.size[0]}x{frame.size[1]}, most frames of '{name}' {most[0]}x{most[1]} (height x width)"
            found.complain(frame.path, f"{told}. Export all at one size, or group the frames into videos by folders.")
    return Plan(name, None, tuple(frames), _number(name, frames, found), renamed)


def _check_size(picture: Picture, size: tuple[int, int], path: Path, found: Annotations) -> None:
    if picture.size is not None and picture.size != size:
        told = f"annotated at {picture.size[0]}x{picture.size[1]}, '{path}' is {size[0]}x{size[1]} (height x width)"
        found.complain(found.path, f"{picture.where}: {told}. Give the frames that were annotated.")


def keyed(picture: Picture) -> list[tuple[tuple[str, str], Shape]]:
    """Shapes of a frame with their object: category and track, or category and place among those of the category."""
    seen: Counter[str] = Counter()
    keys = []
    for shape in picture.shapes:
        track = shape.track
        if track is None:
            seen[shape.category] += 1
            track = f"{shape.category} {seen[shape.category]}"
        keys.append(((shape.category, track), shape))
    return keys


def _number(name: str, frames: Sequence[Frame], found: Annotations) -> dict[tuple[str, str], int]:
    """Ids 1, 2, ... in order of the tracks' names, numbers in them by value."""
    pairs = [pair for frame in frames if frame.picture is not None for pair in keyed(frame.picture)]
    keys = sorted({key for key, _ in pairs}, key=lambda key: (natural(key[1]), key[0]))
    if len(keys) > MAX_SLOTS:
        text = f"Video '{name}' has {len(keys)} objects; at most {MAX_SLOTS} fit. Split it into several videos."
        found.complain(found.path, text)
    guessed = {key for key, shape in pairs if shape.track is None}
    repeated = {key[0] for key in guessed if key[1] != f"{key[0]} 1"}
    if repeated:
        text = (
            f"Video '{name}': the file tells no tracks; objects of {', '.join(sorted(repeated))} are told apart by "
            "their order in each frame. Check them, or export track ids."
        )
        found.problems.append(Problem(False, found.path, text))
    return {key: id_ for id_, key in enumerate(keys, 1)}
