"""GCM's memory: a context of fixed size in place of the cells of every frame."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosfw.interfaces import Memory
from vosfw.model.memory.bank import bias_of

FAINT = 1e-6
"""Weight of a frame none of whose cells is to be trusted: it is read where there is no other."""


class ContextBank(NamedTuple):
    """Sums of the contexts of the remembered frames, and how many they are."""

    context: Float[Tensor, "B g p Ck Cv"]
    """``p`` objects share each of the ``g`` groups of keys."""
    frames: Float[Tensor, "B"]
    """One without a cell to trust counts ``FAINT``."""
    recent: Float[Tensor, "B g p Ck Cv"]
    """Of the transient frame."""
    recent_frames: Float[Tensor, "B"]


class GlobalContextMemory(Memory[ContextBank]):
    """Global context module (Li, Shen, Shan, ECCV 2020): memory and reading cost the same however long the video is.

    A frame's context is ``K^T V`` with the keys normalised over its cells (each channel a map of attention); memory is
    the mean of the contexts, read by ``softmax(Q) G`` with the query normalised over its channels. The normalisations
    are the efficient attention of the same authors; the paper of the cyclic mechanism, whose third network this is,
    does not spell them out. The transient frame counts in the mean like a permanent one. Sums are float32 also under
    autocast: in bfloat16 a count ends at 256.
    """

    def empty(self, key: Float[Tensor, "B g Ck h w"], value: Float[Tensor, "B k Cv h w"]) -> ContextBank:
        """See ``Memory.empty``."""
        groups = key.shape[1]
        shape = (key.shape[0], groups, value.shape[1] // max(groups, 1), key.shape[2], value.shape[2])
        nothing, none = value.new_zeros(shape, dtype=torch.float32), value.new_zeros(key.shape[0], dtype=torch.float32)
        return ContextBank(nothing, none, nothing, none)

    def write(
        self,
        bank: ContextBank,
        key: Float[Tensor, "B g Ck h w"],
        value: Float[Tensor, "B k Cv h w"],
        trusted: Bool[Tensor, "B h w"] | None = None,
        *,
        keep: bool,
    ) -> ContextBank:
        """See ``Memory.write``."""
        frame = torch.ones_like(bank.frames)
        if trusted is not None:
            frame = torch.where(trusted.flatten(1).any(1), frame, FAINT)
        context = _context(key, value, trusted) * _of_each(frame)
        if not keep:
            return bank._replace(recent=context, recent_frames=frame)
        nothing, none = torch.zeros_like(context), torch.zeros_like(bank.frames)
        return ContextBank(bank.context + context, bank.frames + frame, nothing, none)

    def append(
        self, bank: ContextBank, key: Float[Tensor, "B Ck h w"], value: Float[Tensor, "B k Cv h w"]
    ) -> ContextBank:
        """See ``Memory.append``."""
        context = _context(key[:, None].expand(-1, bank.context.shape[1], -1, -1, -1), value)
        return bank._replace(context=bank.context + context, frames=bank.frames + 1)

    def read(self, bank: ContextBank, query: Float[Tensor, "B Ck T h w"]) -> Float[Tensor, "B k Cv T h w"]:
        """See ``Memory.read``."""
        frames = (bank.frames + bank.recent_frames).clamp_min(FAINT)
        mean = (bank.context + bank.recent) / _of_each(frames)
        attention = query.float().softmax(1).flatten(2)
        with torch.autocast(query.device.type, enabled=False):
            read: Tensor = torch.einsum("bcm,bgpcd->bgpdm", attention, mean)
        return read.reshape(read.shape[0], -1, read.shape[3], *query.shape[2:]).to(query.dtype)


def _of_each(numbers: Float[Tensor, "B"]) -> Float[Tensor, "B 1 1 1 1"]:
    return numbers[:, None, None, None, None]


def _context(
    key: Float[Tensor, "B g Ck h w"],
    value: Float[Tensor, "B k Cv h w"],
    trusted: Bool[Tensor, "B h w"] | None = None,
) -> Float[Tensor, "B g _p Ck Cv"]:
    """What a frame adds to the sum of contexts."""
    attention = (key.flatten(3).float() + bias_of(trusted, key)[:, None, None]).softmax(-1)
    values = value.unflatten(1, (key.shape[1], -1)).flatten(4).float()
    with torch.autocast(value.device.type, enabled=False):
        context: Tensor = torch.einsum("bgcn,bgpdn->bgpcd", attention, values)
    return context
