"""Finds the frames that annotations name; nothing outside the folder of frames is looked at."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from PIL import Image

from vosfw.data.annotated import Picture
from vosfw.data.index import frame_files
from vosfw.data.io import FRAME_SUFFIXES
from vosfw.errors import DatasetError

PICTURES = (*FRAME_SUFFIXES, ".bmp", ".tif", ".tiff", ".webp")
"""Kinds of pictures that are taken as frames; those that the folder layout does not know are stored as PNG."""


def numbered_frames(root: Path) -> list[Path]:
    """Frames of a folder, or of ``images`` in it, in order of time."""
    for folder in (root, root / "images"):
        try:
            return frame_files(folder)
        except DatasetError:
            continue
    return []


def find_frame(root: Path, picture: Picture, numbered: Sequence[Path]) -> Path | None:
    """The file of a frame, or None if there is none.

    Raises:
        DatasetError: If its name leads out of ``root``.
    """
    if not picture.files:
        index = -1 if picture.number is None else picture.number
        return numbered[index] if 0 <= index < len(numbered) else None
    home = root.resolve()
    for file in picture.files:
        place = PurePosixPath(file.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or re.match(r"[A-Za-z]:", file) or "\0" in file:
            raise DatasetError(
                f"its file name {file!r} leads out of the folder of frames. Only names inside it are read: put the "
                "frames there and correct the name."
            )
        for path in (root / place, root / "images" / place, root / place.name):
            if path.is_file() and path.suffix.lower() in PICTURES:
                if not path.resolve().is_relative_to(home):
                    raise DatasetError(f"'{path}' is a link out of '{root}'. Copy the frame there.")
                return path
    return None


def extra_frames(folder: Path, known: Sequence[Path]) -> list[Path]:
    """Pictures in a folder that nobody annotated, one of each name."""
    names = {path.stem for path in known if path.parent == folder}
    extra: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURES and path.stem not in names and path.is_file() and not path.is_symlink():
            extra.setdefault(path.stem, path)
    return list(extra.values())


def folder_of(picture: Picture) -> str:
    """The folder that a frame is in, as a name."""
    parts = PurePosixPath(picture.files[0].replace("\\", "/")).parent.parts if picture.files else ()
    return "_".join(part for part in parts if part not in ("/", "..", "."))


def clean_name(name: str) -> str:
    """A name for a folder."""
    return re.sub(r"[/\\\x00-\x1f]", "_", name).strip().lstrip(".") or "video"


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key by which frame_2 comes before frame_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def is_stored_as_is(path: Path) -> bool:
    """Whether a frame can be copied; other kinds become PNG."""
    return path.suffix.lower() in FRAME_SUFFIXES


def open_frame(path: Path) -> Image.Image:
    """A frame of a kind that is not copied, in RGB.

    Raises:
        DatasetError: If it cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"'{path}' cannot be decoded ({error}). Copy or export it again.") from error
