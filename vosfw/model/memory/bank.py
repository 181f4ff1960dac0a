"""A bank of memory cells that keeps whole frames, permanent ones first and a transient one behind them."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from vosfw.ops.affinity import DISTRUST

POLICIES = ("first_and_newest", "spread")


class TokenBank(NamedTuple):
    """Keys and values, a row per memory cell: gathering the values of a cell for all objects is one read."""

    key: Float[Tensor, "B g N C"]
    value: Float[Tensor, "B g N k Cv"]
    """``k`` objects share each of the ``g`` groups of keys."""
    bias: Float[Tensor, "B N"]
    """Added to similarities: 0, or ``DISTRUST`` for cells that are not to be read."""
    written: Integer[Tensor, "n"]
    """Running numbers of the permanent frames, oldest first; cells beyond them belong to the transient frame."""


def empty_bank(key: Float[Tensor, "B g C h w"], value: Float[Tensor, "B k Cv h w"]) -> TokenBank:
    """A bank without frames for such keys and values."""
    keys, values = _rows(key, value)
    nothing = torch.zeros(key.shape[0], 0, device=key.device)
    return TokenBank(keys[:, :, :0], values[:, :, :0], nothing, torch.zeros(0, dtype=torch.long, device=key.device))


def write_frame(
    bank: TokenBank,
    key: Float[Tensor, "B g C h w"],
    value: Float[Tensor, "B k Cv h w"],
    trusted: Bool[Tensor, "B h w"] | None = None,
    *,
    keep: bool,
    max_frames: int | None,
    policy: str,
) -> TokenBank:
    """The bank with one more frame in place of its transient one.

    Args:
        bank: Left as it is.
        key: Shared by the objects (``g`` = 1) or one per object.
        value: Of the same frame.
        trusted: Cells that may be read; None for all.
        keep: Whether the frame stays.
        max_frames: Most permanent frames; None for any number.
        policy: Which frame gives way to a new permanent one; one of ``POLICIES``. ``first_and_newest``: the second
            oldest. ``spread``: of the running numbers those that the lowest power of two divides go first, so that the
            whole past stays covered, evenly and ever more thinly.
    """
    cells = key.shape[-2] * key.shape[-1]
    written = bank.written
    permanent = written.shape[0] * cells
    keys, values = _rows(key, value)
    bias = bias_of(trusted, key)
    old = [bank.key[:, :, :permanent], bank.value[:, :, :permanent], bank.bias[:, None, :permanent]]
    if keep:
        if max_frames is not None and written.shape[0] >= max_frames:
            kept = _without_one(written, policy)
            cell = (kept[:, None] * cells + torch.arange(cells, device=kept.device)).flatten()
            old = [rows.index_select(2, cell) for rows in old]
            written = written[kept]
        number = written[-1:] + 1 if written.shape[0] else written.new_zeros(1)
        written = torch.cat([written, number])
    rows = [torch.cat(both, 2) for both in zip(old, (keys, values, bias[:, None]), strict=True)]
    return TokenBank(rows[0], rows[1], rows[2][:, 0], written)


def append_frame(bank: TokenBank, key: Float[Tensor, "B C h w"], value: Float[Tensor, "B k Cv h w"]) -> TokenBank:
    """The bank with a frame more behind its transient one; ``key`` is shared by all objects."""
    keys, values = _rows(key[:, None].expand(-1, bank.key.shape[1], -1, -1, -1), value)
    bias = torch.cat([bank.bias, bias_of(None, key[:, None])], 1)
    return bank._replace(key=torch.cat([bank.key, keys], 2), value=torch.cat([bank.value, values], 2), bias=bias)


def bias_of(trusted: Bool[Tensor, "B h w"] | None, key: Float[Tensor, "B g C h w"]) -> Float[Tensor, "B _N"]:
    """What is added to the similarities of a frame's cells."""
    if trusted is None:
        return torch.zeros(key.shape[0], key.shape[-2] * key.shape[-1], device=key.device)
    return (~trusted).flatten(1).float() * DISTRUST


def _rows(key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    groups = key.shape[1]
    values = value.unflatten(1, (groups, -1)).permute(0, 1, 4, 5, 2, 3)
    return key.flatten(3).transpose(2, 3), values.flatten(2, 3)


def _without_one(written: Tensor, policy: str) -> Tensor:
    """Positions of all permanent frames but the one to go; neither the first nor the newest."""
    position = torch.arange(written.shape[0] - 1, device=written.device)
    if policy == "first_and_newest":
        return position + (position >= 1)
    inner = written[1:-1]
    power = inner & -inner
    return position + (position >= (power * (written[-1] + 1) + inner).argmin() + 1)
