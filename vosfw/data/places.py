"""Where the files of a data set's videos should be, and what is wrong with their names."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from vosfw.data.index import frame_files, list_files, mask_pictures, read_list
from vosfw.data.io import FRAME_SUFFIXES
from vosfw.data.video_file import VIDEO_SUFFIXES
from vosfw.data.youtube_vos import read_categories
from vosfw.errors import DatasetError

Layout: TypeAlias = Literal["davis", "youtube", "folder"]


class Problem(NamedTuple):
    """Something that is wrong, or looks as if."""

    error: bool
    """False for what can be worked with."""
    path: Path
    text: str
    """What, and what to do."""


class Source(NamedTuple):
    """Where the files of one video should be."""

    name: str
    frames: Path
    masks: Path
    first: bool
    """Whether the first frame must have a mask."""


def guess_layout(root: Path) -> Layout:
    """The layout of a folder, by the folders in it.

    Raises:
        DatasetError: If there is no such folder, or it has none of the layouts.
    """
    if not root.is_dir():
        raise DatasetError(f"No folder '{root}'. Name the folder of a data set.")
    if (root / "frames").is_dir():
        return "folder"
    if (root / "JPEGImages").is_dir():
        return "youtube" if _holds_pictures(root / "JPEGImages") else "davis"
    if any(_holds_pictures(path / "JPEGImages") for path in _subfolders(root)):
        return "youtube"
    near = [
        path.parent
        for depth in ("*", "*/*")
        for name in ("JPEGImages", "frames")
        for path in root.glob(f"{depth}/{name}")
    ]
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise DatasetError(
        f"'{root}' has no layout that vosfw knows: wanted JPEGImages and Annotations (DAVIS, or in folders like train "
        f"for YouTube-VOS), or frames and masks (your own videos).{hint} Or say which one with --layout."
    )


def _holds_pictures(folder: Path) -> bool:
    """Whether the folders in it are videos, and not resolutions of DAVIS."""
    files = (path for video in _subfolders(folder) for path in video.iterdir())
    return any(path.suffix.lower() in FRAME_SUFFIXES for path in files)


def _alike(path: Path, wanted: Path) -> bool:
    """Whether a folder is the wanted one, or the one above it, but for upper and lower case."""
    places = (wanted, wanted.parent)
    return path not in places and str(path).lower() in [str(place).lower() for place in places]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _read_list(path: Path, problems: list[Problem]) -> list[str] | None:
    """Names in a list; None, and a problem, if it cannot be read."""
    try:
        return read_list(path)
    except DatasetError as error:
        problems.append(Problem(True, path, str(error)))
        return None


def _davis(root: Path, problems: list[Problem]) -> Iterator[Source]:
    folders = _subfolders(root / "ImageSets")
    files = [path for folder in folders for path in list_files(folder).values()]
    lists = {path: names for path in files if (names := _read_list(path, problems)) is not None}
    if not files:
        problems.append(Problem(False, root / "ImageSets", "No lists; data.split=all is all there is. Add val.txt."))
    resolutions = [path.name for path in _subfolders(root / "JPEGImages")]
    if not resolutions:
        problems.append(Problem(True, root / "JPEGImages", "No folder such as 480p in it. Put the frames there."))
    for resolution in resolutions:
        pictures, annotations = root / "JPEGImages" / resolution, root / "Annotations" / resolution
        present = {path.name for path in _subfolders(pictures)}
        if not annotations.is_dir():
            near = [
                path for path in (*_subfolders(root), *_subfolders(root / "Annotations")) if _alike(path, annotations)
            ]
            hint = f" Rename '{near[0]}'." if near else ""
            problems.append(Problem(True, annotations, f"No such folder. Put the masks of '{pictures}' there.{hint}"))
        for path, names in lists.items():
            if not names:
                problems.append(Problem(True, path, "The list is empty. Fill or delete it."))
            for name in sorted(set(names) - present):
                text = f"It names '{name}', which is not in '{pictures}'. Add it or strike it out."
                problems.append(Problem(True, path, text))
        for path in _subfolders(annotations):
            if path.name not in present:
                text = f"Masks without frames. Add '{pictures / path.name}' or remove them."
                problems.append(Problem(True, path, text))
        yield from (Source(name, pictures / name, annotations / name, True) for name in sorted(present))


def _youtube(root: Path, problems: list[Problem]) -> Iterator[Source]:
    homes = [path for path in (root, *_subfolders(root)) if (path / "JPEGImages").is_dir()]
    for home in homes:
        if home.name.endswith("_all_frames") and not (home / "Annotations").is_dir():
            continue
        present = {path.name for path in _subfolders(home / "JPEGImages")}
        for path in _subfolders(home / "Annotations"):
            if path.name not in present:
                problems.append(Problem(True, path, "Masks without frames. Add the folder of frames or remove them."))
        try:
            described = set(read_categories(home / "meta.json"))
        except DatasetError as error:
            problems.append(Problem(True, home / "meta.json", str(error)))
            described = set()
        for name in sorted(described - present):
            text = f"It names '{name}', of which there are no frames. Add them."
            problems.append(Problem(True, home / "meta.json", text))
        prefix = "" if home == root else f"{home.name}/"
        for name in sorted(present):
            yield Source(prefix + name, home / "JPEGImages" / name, home / "Annotations" / name, False)


def _folder(root: Path, problems: list[Problem]) -> Iterator[Source]:
    if not (root / "frames").is_dir():
        text = "No such folder. Put a folder of pictures, or a video file, per video there."
        problems.append(Problem(True, root / "frames", text))
        return
    places: dict[str, Path] = {}
    for path in sorted((root / "frames").iterdir()):
        name = path.name if path.is_dir() else path.stem
        if not path.is_dir() and path.suffix.lower() not in VIDEO_SUFFIXES:
            problems.append(Problem(False, path, "Neither a folder nor a video file; ignored."))
        elif name in places:
            problems.append(Problem(True, path, f"A second video of the name of '{places[name].name}'. Keep one."))
        else:
            places[name] = path
    for path in list_files(root).values():
        for name in _read_list(path, problems) or ():
            if name not in places:
                text = f"It names '{name}', which is not in frames. Add it or strike it out."
                problems.append(Problem(True, path, text))
    for path in _subfolders(root / "masks"):
        if path.name not in places:
            problems.append(Problem(True, path, "Masks without frames. Add them to frames or remove the masks."))
    yield from (Source(name, path, root / "masks" / name, False) for name, path in places.items())


def find_files(source: Source, layout: Layout, problems: list[Problem]) -> tuple[list[Path], list[Path]]:
    """Frames and masks of a video, with what their names tell."""
    frames: list[Path] = [source.frames] if source.frames.is_file() else []
    if not frames:
        try:
            frames = frame_files(source.frames)
        except DatasetError as error:
            problems.append(Problem(True, source.frames, str(error)))
        strange = [p for p in source.frames.iterdir() if p.is_file() and p.suffix.lower() not in FRAME_SUFFIXES]
        if strange and source.frames.is_dir():
            names = ", ".join(sorted({path.suffix or path.name for path in strange}))
            problems.append(Problem(False, strange[0], f"{len(strange)} files ({names}) are no frames; ignored."))
    _check_numbers(frames, layout, problems)
    masks = mask_pictures(source.masks)
    lossy = sorted(path for path in source.masks.glob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if lossy:
        problems.append(Problem(True, lossy[0], "A mask as JPEG: compression spoils its ids. Export the masks as PNG."))
    elif not masks:
        text = f"No masks for the video '{source.name}'. Add at least one PNG."
        problems.append(Problem(layout == "davis", source.masks, text))
    return frames, masks


def _check_numbers(frames: list[Path], layout: Layout, problems: list[Problem]) -> None:
    strange = [path for path in frames if not path.stem.isdigit()]
    if len(strange) == len(frames):
        return
    for path in strange:
        text = "Its name is no number, those of other frames are. Rename it, or remove it if it is a copy."
        problems.append(Problem(layout == "davis", path, text))
    frames = [path for path in frames if path.stem.isdigit()]
    numbers = [int(path.stem) for path in frames]
    for (one, first), (two, second) in pairwise(zip(frames, numbers, strict=True)):
        if first == second:
            problems.append(Problem(True, two, f"The same number as '{one.name}'. Keep one."))
        elif second != first + 1 and layout == "davis":
            name = str(first + 1).zfill(len(one.stem))
            text = f"No frame '{name}' after '{one.name}'. Add it: DAVIS has no gaps."
            problems.append(Problem(True, two.parent, text))


def find_sources(root: Path, layout: Layout, problems: list[Problem]) -> list[Source]:
    """The videos of a data set; what is wrong with lists and folders is added to ``problems``."""
    return list({"davis": _davis, "youtube": _youtube, "folder": _folder}[layout](root, problems))
