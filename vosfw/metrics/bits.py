"""Binary masks as bits, 64 pixels to a word: the arithmetic under J and F.

One code serves NumPy arrays (the fastest on a CPU) and torch tensors (any device): both are int64 words and share
their operators. A *strip* is an array "2 R W" of words: the masks of prediction and truth, one item (an object in a
frame) below the other. Every row ends with as many zero bits, and every item with as many zero rows, as a mask may
grow; so a shift of the flattened strip moves all masks at once and none runs into the next.
"""

import math
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Int64, Integer
from numpy.typing import NDArray
from torch import Tensor

WORD = 64
_LOW_63 = (1 << 63) - 1
_LOWEST_OF_BYTES = 0x0101010101010101
_GATHER_BYTES = 0x0102040810204080
"""Times eight bytes of 0 or 1, it collects them in the highest byte, first byte lowest."""

Words = TypeVar("Words", NDArray[np.int64], Tensor)


def _library(words: Words) -> Any:
    """The module whose functions work on ``words``."""
    return torch if isinstance(words, Tensor) else np


def _empty(like: Words, *shape: int) -> Words:
    """New words of any value."""
    return like.new_empty(shape) if isinstance(like, Tensor) else np.empty(shape, np.int64)


def pack(flags: Words) -> Words:
    """Bits of the pixels that are not zero; the first pixel is a word's lowest bit.

    Args:
        flags: uint8 array "... X", X a multiple of 64; a tensor holds 0 and 1 only.

    Returns:
        Words "... X/64".
    """
    if not isinstance(flags, Tensor):
        return np.packbits(flags, bitorder="little").view(np.int64).reshape(*flags.shape[:-1], -1)
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


class Strip(NamedTuple):
    """Masks of prediction and truth, item below item (see the module)."""

    masks: Any
    """Words "2 R W"."""
    edge: Any
    """Words "R W" or "1 W": the bit of the frame's last column."""
    bottom: Any
    """Rows of the strip that are the last row of a frame."""
    ends: Any
    """Last row of each item."""


def boundaries(strip: Strip) -> Any:
    """Pixels whose right, lower or lower-right neighbour differs; the frame's last row and column repeat themselves.

    Returns:
        Words "2 R W".
    """
    masks = strip.masks
    below = _empty(masks, *masks.shape)
    below[:, :-1] = masks[:, 1:]
    below[:, strip.bottom] = masks[:, strip.bottom]
    below[:, strip.ends] = 0
    differs = masks ^ below
    differs |= masks ^ _right(masks, strip.edge)
    differs |= masks ^ _right(below, strip.edge)
    return differs


def _right(masks: Words, edge: Words) -> Words:
    """Each pixel's right neighbour; ``edge`` is its own."""
    flat = masks.reshape(-1)
    right = (flat >> 1) & _LOW_63
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
    grown = words << step
    grown[1:] |= (words[:-1] >> carry) & ((1 << step) - 1)  # >> keeps the sign, hence the masks
    grown |= words
    grown |= (words >> step) & ((1 << carry) - 1)
    grown[:-1] |= words[1:] << carry
    return grown


def popcount(words: Words) -> Integer[np.ndarray, "..."] | Int64[Tensor, "..."]:
    """Number of set bits of every word."""
    if not isinstance(words, Tensor):
        return np.bitwise_count(words.view(np.uint64))
    count = words - ((words >> 1) & 0x5555555555555555)
    count = (count & 0x3333333333333333) + ((count >> 2) & 0x3333333333333333)
    count = (count + (count >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (count * _LOWEST_OF_BYTES) >> 56
