"""The masks of a video: those that were drawn, those that were propagated, and the way back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vosfw.annotate.folder import WorkFolder
from vosfw.annotate.refused import Refused
from vosfw.data.files import replacing
from vosfw.types import VOID

STEPS = 200
"""Changes that can be taken back."""


@dataclass
class Given:
    """What a person said about a frame; its mask is in the folder."""

    ids: set[int] = field(default_factory=set)
    """Objects that were drawn."""
    erased: set[int] = field(default_factory=set)
    """Objects that were shown in the frame and wiped out of it."""


class Masks:
    """Masks by frame; every change is on disk before the method returns.

    Args:
        folder: Where they are; what is there is gone on with.
        names: Of the frames.
        size: Height and width of the video.

    Raises:
        DatasetError: If a drawn mask is damaged.
    """

    def __init__(self, folder: WorkFolder, names: Sequence[str], size: tuple[int, int]) -> None:
        self.folder, self.size = folder, size
        self.files = [f"{name}.png" for name in names]
        self.lock = RLock()
        """Held while masks change; may be taken again by its holder."""
        state = folder.read_state()
        self.about: Any = state.get("about")
        """What tells the video from others."""
        self.pending, self.saved = bool(state.get("pending")), bool(state.get("saved"))
        self.changes = 0
        """Of drawn masks, since the start."""
        self.version = 0
        """Rises whenever a frame may show something else."""
        self._past: list[tuple[int, bytes | None, Given | None]] = []
        erased = state.get("erased", {})
        self.given = {t: Given(self._drawn(t), set(erased.get(str(t), ()))) for t in self._present(folder.given)}
        self.results = self._present(folder.results)

    def labels(self, t: int) -> UInt8[np.ndarray, "Y X"]:
        """What frame ``t`` shows: what was drawn, and what was propagated of the objects that were not."""
        with self.lock:
            given, result = self.read(self.folder.given, t), self.read(self.folder.results, t)
            if result is None:
                return np.zeros(self.size, np.uint8) if given is None else given
            if given is None:
                return result
            known = self.given.get(t, Given())
            others = np.isin(result, list(known.ids | known.erased), invert=True)
            return np.where(given > 0, given, np.where(others, result, 0)).astype(np.uint8)

    def kind(self, t: int) -> str:
        """Where the mask of frame ``t`` comes from: ``given``, ``result`` or ``none``."""
        return "given" if t in self.given else "result" if t in self.results else "none"

    def put(self, t: int, ids: UInt8[np.ndarray, "Y X"]) -> None:
        """Keep a drawn mask of frame ``t``; objects that it shows no longer count as wiped out."""
        with self.lock:
            before, old = _objects(self.labels(t)), self.given.get(t)
            path = self.folder.given / self.files[t]
            self._past.append((t, None if old is None else path.read_bytes(), old))
            del self._past[:-STEPS]
            self.folder.write(path, ids)
            drawn = _objects(ids)
            self.given[t] = Given(drawn, (before | (old.erased if old else set())) - drawn)
            self._changed()

    def undo(self) -> int:
        """Take the last change back; returns its frame.

        Raises:
            Refused: If there is none.
        """
        with self.lock:
            if not self._past:
                raise Refused("there is nothing to undo")
            t, data, given = self._past[-1]
            path = self.folder.given / self.files[t]
            if data is None or given is None:
                path.unlink(missing_ok=True)
                self.given.pop(t, None)
            else:
                with replacing(path) as draft:
                    draft.write_bytes(data)
                self.given[t] = given
            self._past.pop()
            self._changed()
            return t

    def forget_past(self) -> None:
        """Let nothing before now be taken back."""
        self._past.clear()

    @property
    def steps(self) -> int:
        """Changes that can be taken back."""
        return len(self._past)

    def save(self) -> int:
        """Write what every frame shows into the data set of the folder; returns how many masks."""
        with self.lock:
            frames = sorted(self.given.keys() | self.results)
            for t in frames:
                self.folder.write(self.folder.masks / self.files[t], self.labels(t))
            for t in self._present(self.folder.masks) - set(frames):
                (self.folder.masks / self.files[t]).unlink(missing_ok=True)
            self.saved = True
            self.keep()
            return len(frames)

    def add_result(self, t: int) -> None:
        """Take note of a mask that was propagated, if it is there already."""
        with self.lock:
            if (self.folder.results / self.files[t]).is_file():
                self.results.add(t)
            self.version += 1

    def keep(self) -> None:
        """Write down what the pictures do not tell."""
        erased = {t: sorted(given.erased) for t, given in self.given.items() if given.erased}
        state = {"about": self.about, "erased": erased, "pending": self.pending, "saved": self.saved}
        self.folder.write_state(state)

    def read(self, folder: Path, t: int) -> UInt8[np.ndarray, "Y X"] | None:
        """The mask of frame ``t`` in a folder, if there is one."""
        return self.folder.read(folder / self.files[t], self.size)

    def _changed(self) -> None:
        self.pending, self.saved = True, False
        self.changes += 1
        self.version += 1
        self.keep()

    def _present(self, folder: Path) -> set[int]:
        found = {path.name for path in folder.glob("*.png")}
        return {t for t, file in enumerate(self.files) if file in found}

    def _drawn(self, t: int) -> set[int]:
        ids = self.read(self.folder.given, t)
        return set() if ids is None else _objects(ids)


def _objects(ids: UInt8[np.ndarray, "Y X"]) -> set[int]:
    return set(np.unique(ids).tolist()) - {0, VOID}
