"""The values that travel between data, engine and networks.

Letters: ``B`` videos, ``T`` frames, ``K`` object slots (background excluded), ``Y X`` mask pixels, ``H W`` pixels of
the network's input, ``h w`` feature cells, ``C`` channels. Slots are dense indices 0..K-1; a label map holds slot + 1,
with 0 for the background and ``VOID`` for unlabelled pixels. A user's object ids live in ``ClipMeta`` only.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

VOID = 255
"""Label of a pixel that belongs to no class: left out of losses and measures."""
MAX_SLOTS = 254
"""Most objects a uint8 label map can hold."""


class ClipMeta(NamedTuple):
    """Where a clip comes from."""

    video: str
    frames: tuple[str, ...]
    """Frame names without suffix, in time order."""
    ids: tuple[int, ...]
    """The user's object id of each slot."""
    size: tuple[int, int]
    """Original height and width in pixels."""
    seed: int = 0
    """Of all random choices made for this clip (augmentation)."""


class Clip(NamedTuple):
    """One training batch."""

    frames: Float[Tensor, "B T 3 H W"]
    """RGB in 0..1; mean, deviation and channel order are the encoder's business."""
    labels: Integer[Tensor, "B T Y X"]
    """Slot + 1 per pixel, 0 background, VOID unlabelled."""
    given: Bool[Tensor, "B T K"]
    """True where the slot's mask is handed to the network in that frame."""
    valid: Bool[Tensor, "B K"]
    """False for slots that only pad the batch."""
    wanted: Bool[Tensor, "B T"]
    """Frames that are to be predicted."""
    meta: tuple[ClipMeta, ...]


class ObjectMasks(NamedTuple):
    """Soft masks of all objects in one frame; channel 0 is the background."""

    probs: Float[Tensor, "B K+1 Y X"]
    """Sums to 1 over the channels; soft, so that gradients can flow."""
    valid: Bool[Tensor, "B K"]
    """Slots introduced so far."""
    weight: Float[Tensor, "B 1 Y X"]
    """1 trusted ... 0 belongs to no object."""

    @classmethod
    def from_labels(
        cls, labels: Integer[Tensor, "B Y X"], given: Bool[Tensor, "B K"], dtype: torch.dtype = torch.float32
    ) -> "ObjectMasks":
        """One-hot masks of a label map; slots that are not given count as background.

        Args:
            labels: Slot + 1 per pixel, 0 background, VOID unlabelled (background with weight 0).
            given: Slots whose mask the label map holds.
            dtype: Type of the probabilities.
        """
        slots = torch.arange(1, given.shape[1] + 1, device=labels.device, dtype=labels.dtype)
        objects = (labels[:, None] == slots[None, :, None, None]) & given[:, :, None, None]
        probs = torch.cat([~objects.any(1, keepdim=True), objects], dim=1).to(dtype)
        return cls(probs, given, (labels != VOID)[:, None].to(dtype))

    def grow(self, slots: int) -> "ObjectMasks":
        """The same masks with the slot axis padded by empty, invalid slots to ``slots``."""
        missing = slots - self.valid.shape[1]
        if missing <= 0:
            return self
        probs = torch.nn.functional.pad(self.probs, (0, 0, 0, 0, 0, missing))
        return self._replace(probs=probs, valid=torch.nn.functional.pad(self.valid, (0, missing)))


class Features(NamedTuple):
    """What ``Segmenter.encode`` returns for the frames of a clip or span."""

    frames: Float[Tensor, "B T 3 H W"]
    levels: tuple[Float[Tensor, "B T C h w"], ...]
    """Coarse to fine; what a level means is the network's business."""
    read: tuple[tuple[Tensor, ...], ...] = ()
    """What ``segment`` makes of these frames whatever the masks, if ``Segmenter.prepare`` has computed it."""
    write: tuple[Float[Tensor, "F _C _h _w"], ...] = ()
    """The same of ``memorize``."""

    @classmethod
    def joined(cls, parts: Sequence["Features"]) -> "Features":
        """Frames behind one another, without what was prepared; the features themselves if they are alone."""
        if len(parts) == 1:
            return parts[0]
        levels = tuple(torch.cat(level, 1) for level in zip(*(part.levels for part in parts), strict=True))
        return cls(torch.cat([part.frames for part in parts], 1), levels)

    def span(self, start: int, stop: int) -> "Features":
        """Frames ``start`` to ``stop`` (exclusive), as views, without what was prepared."""
        return Features(self.frames[:, start:stop], tuple(level[:, start:stop] for level in self.levels))

    def at(self, index: int) -> "Features":
        """One frame, with its time axis kept."""
        return self.span(index, index + 1)

    def copy(self) -> "Features":
        """The same in memory of its own, without what was prepared."""
        return Features(self.frames.clone(), tuple(level.clone() for level in self.levels))


class Step(NamedTuple):
    """One frame that the engine has dealt with."""

    frame: int
    """Index in the video or clip."""
    logits: Float[Tensor, "B K+1 Y X"]
    """On the engine's mask grid; of a frame that came with masks, the log of ``masks``."""
    masks: ObjectMasks
    """After merging given masks and correction: what is published."""
    predicted: bool
    """False for a frame whose every slot was given, which no network saw."""
    state: Any
    """The network's state that produced ``logits``."""
    given: Integer[Tensor, "B Y X"] | None = None
    """Label map that was handed over with the frame, at the video's own size."""
    mass: Float[Tensor, "B K h w"] | None = None
    """``Segmenter.affinity_mass`` of a predicted frame."""
    shown: Integer[Tensor, "O"] | None = None
    """Classes that are published, if not all."""
