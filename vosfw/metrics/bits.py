"""Binary masks as bits, 64 pixels to a word: the arithmetic under J and F.

One code serves NumPy arrays (uint64; the fastest on a CPU) and torch tensors (int64, for want of operators on uint64;
any device), which share their operators. A *strip* is an array "2 R W" of words: the masks of prediction and truth,
one item (an object in a frame) below the other. Every row ends with as many zero bits, and every item with as many zero
rows, as a mask may grow; so a shift of the flattened strip moves all masks at once and none runs into the next.
"""

import math
from typing import Any, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WORD = 64
_LOW_63 = (1 << 63) - 1
_LOWEST_OF_BYTES = 0x0101010101010101
_GATHER_BYTES = 0x0102040810204080
"""Times eight bytes of 0 or 1, it collects them in the highest byte, first byte lowest."""

Words = TypeVar("Words", NDArray[Any], Tensor)  # of uint64; NumPy's stubs lose it in shifts


def _library(words: Words) -> Any:
    """The module whose functions work on ``words``."""
    return torch if isinstance(words, Tensor) else np


def _empty(like: Words, *shape: int) -> Words:
    """New words of any value."""
    return like.new_empty(shape) if isinstance(like, Tensor) else np.empty(shape, np.uint64)


@overload
def pack(flags: NDArray[np.uint8]) -> NDArray[np.uint64]: ...
@overload
def pack(flags: Tensor) -> Tensor: ...
def pack(flags: NDArray[np.uint8] | Tensor) -> NDArray[np.uint64] | Tensor:
    """Bits of the pixels that are not zero; the first pixel is a word's lowest bit.

    Args:
        flags: uint8 array "... X", X a multiple of 64; a tensor holds 0 and 1 only.

    Returns:
        Words "... X/64".
    """
    if not isinstance(flags, Tensor):
        return np.packbits(flags, bitorder="little").view(np.uint64).reshape(*flags.shape[:-1], -1)
    octets = ((flags.view(torch.int64) * _GATHER_BYTES) >> 56).to(torch.uint8)
    return octets.view(torch.int64)


def separate(planes: list[Words], allowed: Words, slots: int) -> Words:
    """One mask per slot from the bit planes of a label map.

    Args:
        planes: For every binary digit of the labels, lowest first, its pixels as words.
        allowed: Pixels that may belong to an object.
        slots: Number of objects; labels above it are dropped.

    Returns:
        Words "slots ...": the pixels that hold label slot + 1.
    """
    masks = _empty(allowed, slots + 1, *allowed.shape)
    masks[0] = allowed
    done = 1
    for plane in planes:
        ones = masks[done : 2 * done]
        _library(plane).bitwise_and(masks[: len(ones)], plane, out=ones)
        masks[:done] &= ~plane
        done *= 2
    return masks[1:]


def boundaries(masks: Words, edge: Words, bottom: Words, ends: Words) -> Words:
    """Pixels whose right, lower or lower-right neighbour differs; the frame's last row and column repeat themselves.

    Args:
        masks: Words "2 R W" of a strip.
        edge: Words "R W" or "1 W": the bit of the frame's last column.
        bottom: Rows of the strip that show the last row of a frame.
        ends: Last row of each item, margin included.

    Returns:
        Words "2 R W".
    """
    below = _empty(masks, *masks.shape)
    below[:, :-1] = masks[:, 1:]
    below[:, bottom] = masks[:, bottom]
    below[:, ends] = 0
    differs: Words = masks ^ below
    differs |= masks ^ _right(masks, edge)
    differs |= masks ^ _right(below, edge)
    return differs


def _right(masks: Words, edge: Words) -> Words:
    """Each pixel's right neighbour; ``edge`` is its own."""
    flat = masks.reshape(-1)
    right: Words = _shift_right(flat, 1)
    right[:-1] |= flat[1:] << 63
    rows: Words = right.reshape(masks.shape)
    rows[..., -1] &= _LOW_63  # the neighbour of a row's last bit is not the next row's first
    rows |= masks & edge
    return rows


def dilate(masks: Words, radius: float) -> Words:
    """Pixels within ``radius`` of a set pixel: the disk is a union of row runs, each grown from the next shorter one.

    Args:
        masks: Words "2 R W" of a strip whose margins are at least ``radius``.
        radius: In pixels, from 1.

    Returns:
        Words "2 R W"; the margins hold rubbish.
    """
    row = masks.shape[-1]
    runs: Words = masks.reshape(-1)
    disk: Words = runs & 0
    half = 0
    for dy in reversed(range(int(radius) + 1)):
        longer = math.isqrt(int(radius * radius) - dy * dy)
        while half < longer:
            step = min(longer - half, 2 * half + 1, WORD - 1)
            runs, half = _grow(runs, step), half + step
        if dy == 0:
            disk |= runs
        else:
            disk[dy * row :] |= runs[: -dy * row]
            disk[: -dy * row] |= runs[dy * row :]
    return disk.reshape(masks.shape)


def _grow(words: Words, step: int) -> Words:
    """The union with itself moved by ``step`` < 64 bits to either side."""
    carry = WORD - step
    grown: Words = words << step
    grown[1:] |= _shift_right(words[:-1], carry)
    grown |= words
    grown |= _shift_right(words, step)
    grown[:-1] |= words[1:] << carry
    return grown


def _shift_right(words: Words, bits: int) -> Words:
    """Words moved by ``bits`` > 0 towards their lowest bit, zeros moved in."""
    moved: Words = words >> bits
    if isinstance(moved, Tensor):
        moved &= (1 << (WORD - bits)) - 1  # the shift of a signed number keeps its sign
    return moved


@overload
def popcount(words: NDArray[np.uint64]) -> NDArray[np.uint8]: ...
@overload
def popcount(words: Tensor) -> Tensor: ...
def popcount(words: NDArray[np.uint64] | Tensor) -> NDArray[np.uint8] | Tensor:
    """Number of set bits of every word."""
    if not isinstance(words, Tensor):
        return np.bitwise_count(words)
    count = words - ((words >> 1) & 0x5555555555555555)
    count = (count & 0x3333333333333333) + ((count >> 2) & 0x3333333333333333)
    count = (count + (count >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (count * _LOWEST_OF_BYTES) >> 56
