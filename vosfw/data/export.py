"""Perturbed data sets as files, for other tools."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Integer
from PIL import Image
from torch import Tensor

from vosfw.data.dataset import VideoDataset
from vosfw.data.file_video import FileVideo
from vosfw.data.files import replacing
from vosfw.data.io import write_mask
from vosfw.data.perturbation.base import Perturbation
from vosfw.data.video import Video
from vosfw.errors import ConfigError, OutputError, UnsupportedError
from vosfw.types import VOID

NOTE = "perturbation.json"
"""In the folder of a written set: how it was made, and whether it is complete."""
PICTURES = ("JPEGImages", "Annotations", "frames", "masks")
"""Folders that hold no lists."""
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
}


def write_perturbed(
    videos: VideoDataset,
    perturbation: Perturbation,
    out: Path,
    *,
    root: Path | None = None,
    suffix: str = "png",
    about: Mapping[str, str],
    resume: bool = False,
) -> Iterator[int]:
    """Write a data set as a perturbation leaves it: frames, masks, and the lists in ``root``.

    A data set of files keeps its layout, so that the same reader reads it back; its masks and lists are copied, but
    for given masks that were perturbed. Others are written as a folder of videos (``vosfw.data.folder``).

    Args:
        videos: The data set, unperturbed.
        perturbation: What befalls it.
        out: New or empty folder.
        root: Of the data set's files.
        suffix: ``png``, which is exact, or ``jpg``.
        about: What is written, by topic; noted in the folder.
        resume: Go on with what an interrupted call wrote, and leave alone what is complete.

    Yields:
        The number of frames of each video, when it is written.

    Raises:
        ConfigError: If frames of the perturbation are not 8 bits deep, or the format is unknown.
        OutputError: If the folder holds other files, or cannot be written.
        UnsupportedError: If the data set has files outside ``root``.
    """
    check_format(perturbation, suffix)
    if claim(out, about, resume=resume):
        yield from videos.lengths
        return
    _note(out, about, complete=False)
    if root is not None:
        _copy_lists(root.expanduser(), out)
    for index in range(len(videos)):
        video = videos.video(index)
        _write_video(video, perturbation.apply(video), out, root, suffix)
        yield len(video)
    _note(out, about, complete=True)


def check_format(perturbation: Perturbation, suffix: str) -> None:
    """Refuse what cannot be written.

    Raises:
        ConfigError: If frames are not 8 bits deep, or the format is unknown.
    """
    if suffix not in FORMATS:
        raise ConfigError(f"frames cannot be written as {suffix!r}; wanted {' or '.join(FORMATS)}")
    if not perturbation.eight_bit:
        raise ConfigError(
            f"{type(perturbation).__name__} without clipping gives real numbers outside 0..255, which fit no picture. "
            "Evaluate it without writing, or leave it out."
        )


def claim(out: Path, about: Mapping[str, str], *, resume: bool) -> bool:
    """Whether the folder holds this very set, complete; see ``write_perturbed``.

    Raises:
        OutputError: If it holds anything but a part of it.
    """
    known = json.loads((out / NOTE).read_text()) if resume and (out / NOTE).is_file() else {}
    if known and known["about"] == dict(about):
        return bool(known["complete"])
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"'{out}' is there and holds something else. Remove it, or write to another folder.")
    return False


def _note(out: Path, about: Mapping[str, str], *, complete: bool) -> None:
    with replacing(out / NOTE) as draft:
        draft.write_text(json.dumps({"complete": complete, "about": dict(about)}, indent=2) + "\n")


def _write_video(clean: Video, spoilt: Video, out: Path, root: Path | None, suffix: str) -> None:
    pictures, masks = _places(clean, root)
    for t, place in enumerate(pictures):
        targets = [out / place.with_suffix(f".{suffix}")]
        if place.parts[0].endswith("_all_frames") and clean.wanted[t]:
            # YouTube-VOS: the frames that are wanted lie in the split's own folder, too.
            targets.append(out.joinpath(place.parts[0].removesuffix("_all_frames"), *targets[0].parts[-3:]))
        if all(target.is_file() for target in targets):
            continue
        image = Image.fromarray(spoilt.frame(t).permute(1, 2, 0).contiguous().numpy())
        for target in targets:
            with replacing(target) as draft:
                image.save(draft, **FORMATS[suffix])
    for t, place in masks.items():
        target = out / place
        changed = None
        if t in clean.given and not torch.equal(given := spoilt.given_mask(t), clean.given_mask(t)):
            changed = _with_given(clean, t, given)
        if changed is None and isinstance(clean, FileVideo):
            with replacing(target) as draft:
                shutil.copyfile(clean.mask_path(t), draft)
        else:
            write_mask(target, clean.id_map(t) if changed is None else changed)


def _places(video: Video, root: Path | None) -> tuple[list[Path], dict[int, Path]]:
    """Where frames and masks go, relative to the folder; suffixes of frames may be missing."""
    if not isinstance(video, FileVideo) or root is None:
        frames = [Path("frames", video.name, f"{name}.png") for name in video.frames]
        return frames, {t: Path("masks", video.name, f"{video.frames[t]}.png") for t in video.annotated}
    home = root.expanduser()
    try:
        places = [video.frame_path(t).relative_to(home) for t in range(len(video))]
        return places, {t: video.mask_path(t).relative_to(home) for t in video.annotated}
    except ValueError as error:
        raise UnsupportedError(f"'{video.name}' lies outside data.root ({error}); set data.root alone.") from error


def _with_given(video: Video, index: int, given: Integer[Tensor, "Y X"]) -> Integer[Tensor, "Y X"]:
    """The object ids of a frame with another mask of the objects that are given in it."""
    ids = video.id_map(index).clone()
    for slot in video.given[index]:
        ids[ids == video.ids[slot]] = 0
    objects = (given > 0) & (given != VOID)
    ids[objects] = torch.tensor([0, *video.ids])[given[objects].long()].to(ids.dtype)
    return ids


def _copy_lists(root: Path, out: Path) -> None:
    """Copy text and JSON files beside the pictures: lists of videos, categories."""
    for folder, inside, files in os.walk(root):
        here = Path(folder)
        # Neither pictures nor other perturbed sets that lie in the root.
        inside[:] = [n for n in inside if not (n.startswith((".", *PICTURES)) or (here / n / NOTE).is_file())]
        for name in files:
            if name.endswith((".txt", ".json")):
                with replacing(out / here.relative_to(root) / name) as draft:
                    shutil.copyfile(here / name, draft)
