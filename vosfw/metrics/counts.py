"""How many pixels prediction and truth share, for all objects and frames at once: what J and F are made of."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64, Integer, UInt8, UInt64
from torch import Tensor

from vosfw.errors import ConfigError, DatasetError
from vosfw.metrics.bits import WORD, Words, boundaries, dilate, pack, popcount, separate
from vosfw.types import MAX_SLOTS, VOID

_CPU_CHUNK, _DEVICE_CHUNK = 1 << 19, 1 << 24
"""Words worked on at once: 4 MB, about a CPU's cache; 128 MB on a device, several times over."""
_CPU_BYTES, _DEVICE_BYTES = 8, 64
"""What a frame takes before it is packed, a byte per pixel and bit plane, over the size of one packed mask."""


class Counts(NamedTuple):
    """Pixel counts "F K" in float64: NumPy arrays on a CPU, else tensors; boundaries only if a radius was given."""

    common: Any
    """In both masks."""
    either: Any
    """In at least one mask."""
    pred_edge: Any = None
    """On the prediction's boundary."""
    truth_edge: Any = None
    pred_matched: Any = None
    """On the prediction's boundary, within the radius of the truth's."""
    truth_matched: Any = None


def count(
    pred: Integer[Tensor, "F Y X"],
    truth: Integer[Tensor, "F Y X"],
    slots: int,
    void: Bool[Tensor, "F Y X"] | None = None,
    radius: float = 0.0,
) -> Counts:
    """Count for every object in every frame.

    On a CPU each object is cropped to the box around both its masks; a device takes the frames whole, without a host
    sync. Both give the same numbers.

    Args:
        pred: Predicted slot + 1, 0 background; other values count as background.
        truth: The same, with VOID where nothing is known.
        slots: Number of objects, up to ``MAX_SLOTS``.
        void: Further pixels to leave out.
        radius: How far apart matching boundary pixels may lie, in pixels; 0 leaves the boundaries out.

    Raises:
        ConfigError: If ``slots`` is out of range.
        DatasetError: If the sizes differ.
    """
    if not 0 <= slots <= MAX_SLOTS:
        raise ConfigError(f"J and F of {slots} objects were asked for; a label map holds 0 to {MAX_SLOTS}.")
    if pred.shape != truth.shape or (void is not None and void.shape != truth.shape):
        shapes = f"prediction {tuple(pred.shape)}, truth {tuple(truth.shape)}"
        raise DatasetError(
            "Masks to compare must have one size (frames, height, width), but got "
            f"{shapes if void is None else f'{shapes}, void {tuple(void.shape)}'}. "
            "Bring the prediction to the size of the truth by nearest neighbour."
        )
    frames, height, width = pred.shape
    rows, words = height + int(radius), -(-(width + int(radius)) // WORD)
    labels, known = _bytes(pred), _bytes(truth.to(pred.device))
    if void is not None:
        known = known.masked_fill(void.to(pred.device), VOID)
    on_cpu = pred.device.type == "cpu"
    if not frames or not slots:
        return Counts(*[torch.zeros(frames, slots, dtype=torch.float64, device=pred.device)] * (6 if radius > 0 else 2))
    work: Any = _count_cropped if on_cpu else _count_whole
    budget, unpacked = (_CPU_CHUNK, _CPU_BYTES) if on_cpu else (_DEVICE_CHUNK, _DEVICE_BYTES)
    chunk = max(1, budget // (2 * rows * words * (slots + unpacked)))
    parts = [
        work(labels[at : at + chunk], known[at : at + chunk], slots, radius, rows, words)
        for at in range(0, frames, chunk)
    ]
    return Counts(*(parts[0] if len(parts) == 1 else (np if on_cpu else torch).concatenate(parts, 1)))


def _bytes(labels: Integer[Tensor, "F Y X"]) -> UInt8[Tensor, "F Y X"]:
    """Labels as uint8; what does not fit counts as background."""
    if labels.dtype == torch.uint8:
        return labels
    labels = labels.to(torch.int64)
    return labels.where((labels >= 0) & (labels <= VOID), 0).to(torch.uint8)


def _fields(radius: float, masks: Words, edge: Words, bottom: Words, ends: Words) -> list[Words]:
    """The pixels that each field of ``Counts`` counts, as words "R W"; arguments as for ``boundaries``."""
    pred, truth = masks
    fields: list[Words] = [pred & truth, pred | truth]
    if radius > 0:
        edges = boundaries(masks, edge, bottom, ends)
        near = dilate(edges, radius)
        fields += [edges[0], edges[1], edges[0] & near[1], edges[1] & near[0]]
    return fields


def _last_column(width: int, words: int) -> UInt64[np.ndarray, "W"]:
    """Words of one row with only the bit of the last column set."""
    edge = np.zeros(words, np.uint64)
    edge[(width - 1) // WORD] = 1 << (width - 1) % WORD
    return edge


def _count_whole(
    pred: UInt8[Tensor, "F Y X"], truth: UInt8[Tensor, "F Y X"], slots: int, radius: float, rows: int, words: int
) -> Float64[Tensor, "M F K"]:
    """``count`` on the tensors' device; ``rows`` and ``words`` are a frame's with its margins."""
    frames, height, width = pred.shape
    labels = torch.stack((pred, truth))
    planes = [labels >> digit & 1 for digit in range(slots.bit_length())]
    planes.append(((labels <= slots) & (truth != VOID)).to(torch.uint8))
    margins = (0, words * WORD - width, 0, rows - height)
    *digits, allowed = [pack(torch.nn.functional.pad(plane, margins)) for plane in planes]
    masks = separate(digits, allowed, slots).transpose(0, 1)  # 2 K F rows words
    first = torch.arange(slots * frames, device=pred.device) * rows
    edge = torch.from_numpy(_last_column(width, words).view(np.int64)).to(pred.device)[None]
    fields = _fields(radius, masks.reshape(2, -1, words), edge, first + height - 1, first + rows - 1)
    return torch.stack([popcount(pixels).view(slots, frames, rows * words).sum(2).T for pixels in fields]).double()


def _masks(
    labels: UInt8[np.ndarray, "F R C"], most: int, void: UInt64[np.ndarray, "F R W"] | None, slots: int
) -> UInt64[np.ndarray, "K F R W"]:
    """One mask per slot, as words; ``most`` is the highest label."""
    digits = slots.bit_length()
    planes = [pack(labels if most == digits == 1 else labels & np.uint8(1 << digit)) for digit in range(digits)]
    barred = np.zeros_like(planes[0]) if void is None else void
    if most > slots:
        barred = barred | pack((labels > slots).view(np.uint8))
    return separate(planes, ~barred, slots)


def _count_cropped(
    pred: UInt8[Tensor, "F Y X"], truth: UInt8[Tensor, "F Y X"], slots: int, radius: float, rows: int, words: int
) -> Float64[np.ndarray, "M F K"]:
    """``count`` in NumPy, on the box around each object's masks."""
    frames, height, width = pred.shape
    labels = np.empty((2, frames, rows, words * WORD), np.uint8)
    labels[:, :, height:] = 0
    labels[:, :, :, width:] = 0
    labels[0, :, :height, :width] = pred.numpy()
    labels[1, :, :height, :width] = truth.numpy()
    most = [int(each.max()) for each in labels]
    void = pack((labels[1] == VOID).view(np.uint8)) if most[1] == VOID else None
    masks = [_masks(each, highest, void, slots) for each, highest in zip(labels, most, strict=True)]
    union = (masks[0] | masks[1]).reshape(slots * frames, rows, words)
    counts = np.zeros((6 if radius > 0 else 2, slots * frames))
    filled = np.bitwise_or.reduce(union, axis=2) != 0  # item, row
    items = np.flatnonzero(filled.any(1))
    if len(items):
        # The box of the masks, and one pixel above and left of them, where their boundaries may lie.
        filled = filled[items]
        top = np.maximum(filled.argmax(1) - 1, 0)
        bottom = rows - filled[:, ::-1].argmax(1)
        columns = np.unpackbits(np.bitwise_or.reduce(union, axis=1)[items].view(np.uint8), axis=1, bitorder="little")
        left = np.maximum(columns.argmax(1) - 1, 0) // WORD
        right = (words * WORD - 1 - columns[:, ::-1].argmax(1) + int(radius)) // WORD + 1
        wide = int((right - left).max())
        left = np.minimum(left, words - wide)
        # Its margins are empty, as it holds the whole object and the frame has margins, too.
        sizes = bottom - top + int(radius)
        first = np.cumsum(sizes) - sizes
        item = np.repeat(np.arange(len(items)), sizes)
        source = (items * rows + top - first)[item] + np.arange(len(item))
        index = (source * words + left[item])[:, None] + np.arange(wide)
        fields = _fields(
            radius,
            np.stack([mask.reshape(-1).take(index) for mask in masks]),
            _last_column(width, words)[left[:, None] + np.arange(wide)][item],
            (first + height - 1 - top)[bottom == height],
            first + sizes - 1,
        )
        pixels = popcount(np.stack(fields)).reshape(len(fields), -1)
        counts[:, items] = np.add.reduceat(pixels, first * wide, axis=1, dtype=np.int64)
    return counts.reshape(-1, slots, frames).transpose(0, 2, 1)
