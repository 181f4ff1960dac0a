"""What an annotation keeps on disk, so that nothing is lost when it ends."""

import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Integer, UInt8
from numpy import ndarray

from vosfw.data.files import cannot_write, replacing
from vosfw.data.io import read_mask, write_mask
from vosfw.data.video_file import VIDEO_SUFFIXES
from vosfw.errors import ConfigError, DatasetError

HIDDEN = ".annotate"
"""Folder inside the working folder that holds what is needed to go on, by video."""
UPLOAD = "upload"
"""Name of a video that came through the page."""


class WorkFolder:
    """The working folder, laid out as ``data=folder`` reads it, and the state of one video in it.

    ``frames/`` and ``masks/<video>/*.png`` are what ``Save`` writes. ``.annotate/<video>/`` holds each mask that was
    drawn (``given/``), the propagated ones (``results/``) and ``state.json``. Every file appears whole or not at all.

    Args:
        out: The working folder; it is made if it is not there.
        name: Of the video.

    Raises:
        ConfigError: If the folder holds something else, links that lead elsewhere, or another program works in it.
        OutputError: If it cannot be written.
    """

    def __init__(self, out: Path, name: str) -> None:
        self.out, self.name = out.resolve(), name
        self.home = self.out / HIDDEN / name
        self.given, self.results = self.home / "given", self.home / "results"
        self.masks, self.pictures = self.out / "masks" / name, self.out / "frames"
        self._refuse_others()
        try:
            for folder in (self.given, self.results):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.home / "lock").open("w")
        except OSError as error:
            raise cannot_write(self.home, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise ConfigError(
                f"'{name}' is being annotated in '{out}' by another program. End that one first."
            ) from error
        for draft in self.home.rglob(".*.part"):  # of a program that was killed
            draft.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others work here."""
        self._lock.close()

    def _refuse_others(self) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError(f"--out '{self.out}' is no folder. Name a new folder.")
        found = sorted(path.name for path in self.out.iterdir()) if self.out.is_dir() else []
        if found and not (self.out / HIDDEN).is_dir():
            some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            raise ConfigError(f"--out '{self.out}' holds other files ({some}). Name a new folder, or an earlier --out.")
        for path in (self.given, self.results, self.masks, self.pictures / self.name):
            for part in (path, *path.parents):
                if part != self.out and part.is_relative_to(self.out) and part.is_symlink():
                    raise ConfigError(f"'{part}' is a link, which may lead out of the folder. Remove it.")
        taken = [path for path in self._taken() if path.exists()]
        if taken and not (self.home / "state.json").is_file():
            raise ConfigError(f"'{taken[0]}' is there, but was not made by vosfw annotate. Name another folder.")

    def _taken(self) -> list[Path]:
        """Places of the video's frames and masks."""
        return [self.masks, self.pictures / self.name, *(self.pictures / (self.name + end) for end in VIDEO_SUFFIXES)]

    @property
    def uploaded(self) -> Path | None:
        """The video that came through the page."""
        return next((path for end in VIDEO_SUFFIXES if self._inside(path := self.home / f"{UPLOAD}{end}")), None)

    def read_state(self) -> dict[str, Any]:
        """What ``write_state`` wrote; empty if nothing was.

        Raises:
            ConfigError: If it cannot be read.
        """
        path = self.home / "state.json"
        if not path.is_file():
            return {}
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"'{path}' cannot be read ({error}). Name another --out.") from error

    def write_state(self, state: dict[str, Any]) -> None:
        """Keep what the pictures do not tell."""
        with replacing(self.home / "state.json") as draft:
            draft.write_text(json.dumps(state), encoding="utf-8")

    def read(self, path: Path, size: tuple[int, int]) -> UInt8[ndarray, "Y X"] | None:
        """Ids of a mask of ``given`` or ``results``; None if there is none.

        Raises:
            DatasetError: If it is damaged, of another size or a link that leads out of the folder.
        """
        if not path.is_file():
            return None
        if not self._inside(path):
            raise DatasetError(f"'{path}' is a link that leads out of the folder. Remove it.")
        ids: UInt8[ndarray, "Y X"] = read_mask(path, size).numpy()
        return ids

    def write(self, path: Path, ids: Integer[ndarray, "Y X"]) -> None:
        """Keep a mask."""
        write_mask(path, torch.from_numpy(ids))

    def take_pictures(self, source: Path, frames: list[Path]) -> None:
        """Copy the video to its place in the data set, unless it is there.

        Args:
            source: Video file, or folder of frames.
            frames: The pictures of the folder.
        """
        if source.is_file():
            _copy(source, self.pictures / f"{self.name}{source.suffix.lower()}")
        for path in frames:
            _copy(path, self.pictures / self.name / f"{path.stem}{path.suffix.lower()}")

    def _inside(self, path: Path) -> bool:
        return path.is_file() and path.resolve().is_relative_to(self.out)


def _copy(path: Path, target: Path) -> None:
    if not target.is_file():
        with replacing(target) as draft:
            shutil.copyfile(path, draft)
