"""Videos as lazy views."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float32, Integer, UInt8
from torch import Tensor

from vosfw.errors import DatasetError
from vosfw.types import MAX_SLOTS, VOID


class Video(ABC):
    """Frames and masks of one video, read when asked for. Nothing is kept; pickles to the worker that reads it.

    Objects are handed over (``given``) in the first annotated frame, or, with ``join="any"``, each one in the first
    frame whose mask shows it. Slots are in order of that frame, then of the object's id.

    Args:
        name: Of the video, as in lists and results.
        frames: Names of the frames without suffix, in time order.
        annotated: Indices of the frames that have a mask.
        join: Whether objects may join after the first annotated frame.
        wanted: Frames that are to be predicted; all by default.
    """

    def __init__(
        self,
        name: str,
        frames: Sequence[str],
        annotated: Sequence[int],
        *,
        join: Literal["first", "any"] = "first",
        wanted: Sequence[bool] | None = None,
    ) -> None:
        self.name = name
        self.frames = tuple(frames)
        self.annotated = tuple(sorted(annotated))
        self.join = join
        self.groups: dict[int, str] = {}
        """``seen`` or ``unseen``, by object id, if the data set tells categories (YouTube-VOS)."""
        self.wanted = (True,) * len(self.frames) if wanted is None else tuple(wanted)

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""

    @abstractmethod
    def frame(self, index: int) -> UInt8[Tensor, "3 Y X"] | Float32[Tensor, "3 Y X"]:
        """One RGB frame: uint8, or, of some perturbed videos, float32 around 0..1."""

    @abstractmethod
    def id_map(self, index: int) -> Integer[Tensor, "Y X"]:
        """The user's object ids in one annotated frame: 0 background, 255 unlabelled; uint8 if they fit."""

    def read(self, index: int) -> tuple[UInt8[Tensor, "3 Y X"] | Float32[Tensor, "3 Y X"], Integer[Tensor, "Y X"]]:
        """An annotated frame and its object ids."""
        return self.frame(index), self.id_map(index)

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def introduced(self) -> dict[int, int]:
        """The frame in which each object id is handed over, in the order of slots.

        Raises:
            DatasetError: If no mask shows an object, or there are more objects than a label map holds.
        """
        found: dict[int, int] = {}
        for index in self.annotated if self.join == "any" else self.annotated[:1]:
            for id_ in present_ids(self.id_map(index)):
                found.setdefault(id_, index)
        if not found:
            where = f"frame '{self.frames[self.annotated[0]]}'" if self.annotated else "no mask file"
            raise DatasetError(
                f"No object in the given mask of '{self.name}' ({where}): every pixel is background or unlabelled. "
                "Draw at least one object."
            )
        if len(found) > MAX_SLOTS:
            raise DatasetError(f"'{self.name}' has {len(found)} objects; at most {MAX_SLOTS} fit. Split its masks.")
        return found

    @property
    def ids(self) -> tuple[int, ...]:
        """The user's object id of each slot."""
        return tuple(self.introduced)

    @property
    def given(self) -> dict[int, tuple[int, ...]]:
        """Slots whose mask is handed over, by frame."""
        frames: dict[int, tuple[int, ...]] = {}
        for slot, index in enumerate(self.introduced.values()):
            frames[index] = (*frames.get(index, ()), slot)
        return frames

    def truth(self, index: int) -> UInt8[Tensor, "Y X"] | None:
        """Slot + 1 per pixel of the objects handed over so far, 0 background, VOID kept; None without a mask."""
        if index not in self.annotated:
            return None
        known = [id_ if start <= index else None for id_, start in self.introduced.items()]
        return slot_labels(self.id_map(index), known)

    def given_mask(self, index: int) -> UInt8[Tensor, "Y X"]:
        """Slot + 1 per pixel, of the slots given in this frame only; VOID kept.

        Raises:
            DatasetError: If no mask is given in this frame.
        """
        slots = self.given.get(index)
        if slots is None:
            raise DatasetError(f"No mask is given in frame {index} of '{self.name}'; frames: {sorted(self.given)}.")
        return slot_labels(self.id_map(index), [id_ if slot in slots else None for slot, id_ in enumerate(self.ids)])


def present_ids(ids: Integer[Tensor, "Y X"]) -> list[int]:
    """Object ids in a map, ascending."""
    if ids.dtype != torch.uint8:
        return [id_ for id_ in ids.unique().tolist() if id_ not in (0, VOID)]
    counts = torch.bincount(ids.flatten(), minlength=256)
    return (counts[1:VOID].nonzero().flatten() + 1).tolist()


def slot_labels(ids: Integer[Tensor, "*t Y X"], slots: Sequence[int | None]) -> UInt8[Tensor, "*t Y X"]:
    """Object ids to slot + 1; ids of no slot become background, VOID stays.

    Args:
        ids: Object id per pixel.
        slots: Object id of each slot; None leaves the slot out.
    """
    if ids.dtype != torch.uint8:
        known = torch.tensor([-1 if id_ is None else id_ for id_ in slots], dtype=torch.int64)
        values, place = ids.long().unique(return_inverse=True)
        matches = values[:, None] == known
        numbers = torch.where(matches.any(1), matches.byte().argmax(1) + 1 if len(known) else 0, 0)
        return torch.where(values == VOID, VOID, numbers).to(torch.uint8)[place]
    table = bytearray(256)
    table[VOID] = VOID
    for slot, id_ in enumerate(slots):
        if id_ is not None and id_ < 256:
            table[id_] = slot + 1
    # Four times as fast as indexing a NumPy table.
    return torch.frombuffer(bytearray(ids.numpy()).translate(table), dtype=torch.uint8).view(ids.shape)
