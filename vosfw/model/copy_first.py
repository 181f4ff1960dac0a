"""The baseline that every network must beat: objects stay where they were given."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosfw.interfaces import Grid, Segmenter
from vosfw.ops.aggregate import logits_of
from vosfw.types import Features, ObjectMasks


class CopyState(NamedTuple):
    """The masks as they were given."""

    probs: Float[Tensor, "B O Y X"]
    valid: Bool[Tensor, "B K"]


class CopyFirst(Segmenter[CopyState]):
    """Copies each object's first mask to all later frames; has no parameters."""

    grid = Grid(1, "resize")
    mask_gradient = False

    def encode(self, frames: Float[Tensor, "B T 3 H W"]) -> Features:
        """No features."""
        return Features(frames, ())

    def init_state(self, features: Features, masks: ObjectMasks, *, keep: bool = True) -> CopyState:
        """The given masks."""
        return CopyState(masks.probs, masks.valid)

    def segment(self, features: Features, state: CopyState) -> tuple[Float[Tensor, "B T O y x"], CopyState]:
        """The given masks, for every frame."""
        logits = logits_of(state.probs)
        return logits[:, None].expand(-1, features.frames.shape[1], -1, -1, -1), state

    def memorize(self, features: Features, masks: ObjectMasks, state: CopyState, *, keep: bool) -> CopyState:
        """Masks of objects that joined are added; those of known objects stay as they were given."""
        if masks.valid.shape[1] == state.valid.shape[1]:
            return state._replace(valid=masks.valid)
        old = ObjectMasks(state.probs, state.valid, masks.weight).grow(masks.valid.shape[1])
        new = torch.cat([torch.zeros_like(old.valid[:, :1]), masks.valid & ~old.valid], 1)[:, :, None, None]
        covered = (masks.probs * new).sum(1, keepdim=True) > 0.5
        probs = torch.where(covered, masks.probs * new, old.probs)
        return CopyState(probs, masks.valid)
