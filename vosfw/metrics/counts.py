"""How many pixels prediction and truth share, over all objects and frames at once: what J and F are made of."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int64, Integer, UInt8
from torch import Tensor

from vosfw.errors import ConfigError, DatasetError
from vosfw.metrics.bits import WORD, Strip, boundaries, dilate, pack, popcount, separate
from vosfw.types import MAX_SLOTS, VOID

_CHUNK = {"cpu": 1 << 17}
"""Words of masks worked on at once: a CPU's second-level cache."""
_DEVICE_CHUNK = 1 << 23


class Counts(NamedTuple):
    """Pixel counts per frame and object."""

    common: Int64[Tensor, "F K"]
    """In both masks."""
    either: Int64[Tensor, "F K"]
    """In at least one mask."""
    pred_edge: Int64[Tensor, "F K"]
    """On the prediction's boundary; this and the next three are 0 if no radius is given."""
    truth_edge: Int64[Tensor, "F K"]
    pred_matched: Int64[Tensor, "F K"]
    """On the prediction's boundary, within the radius of the truth's."""
    truth_matched: Int64[Tensor, "F K"]


def count(
    pred: Integer[Tensor, "F Y X"],
    truth: Integer[Tensor, "F Y X"],
    slots: int,
    void: Bool[Tensor, "F Y X"] | None = None,
    radius: float = 0.0,
) -> Counts:
    """Count for every object in every frame.

    On a CPU each object is cropped to the box around both its masks; on a device all frames are taken whole, without
    a host sync. Both give the same numbers.

    Args:
        pred: Predicted slot + 1, 0 background; other values count as background.
        truth: The same, with VOID where nothing is known.
        slots: Number of objects, up to ``MAX_SLOTS``.
        void: Further pixels to leave out.
        radius: How far apart matching boundary pixels may lie; 0 leaves the boundaries out.

    Raises:
        ConfigError: If ``slots`` is out of range.
        DatasetError: If the sizes differ.
    """
    if not 0 <= slots <= MAX_SLOTS:
        raise ConfigError(f"J and F of {slots} objects were asked for; a label map holds 0 to {MAX_SLOTS}.")
    if pred.shape != truth.shape or (void is not None and void.shape != truth.shape):
        shapes = f"{tuple(pred.shape)}, truth {tuple(truth.shape)}"
        shapes += "" if void is None else f", void {tuple(void.shape)}"
        raise DatasetError(
            f"Masks to compare must have one size (frames, height, width), but got prediction {shapes}. "
            "Bring the prediction to the size of the truth by nearest neighbour."
        )
    frames, height, width = pred.shape
    words, rows = -(-(width + int(radius)) // WORD), height + int(radius)
    labels = [_bytes(pred), _bytes(truth.to(pred.device))]
    if void is not None:
        labels[1] = labels[1].masked_fill(void.to(pred.device), VOID)
    chunk = max(1, _CHUNK.get(pred.device.type, _DEVICE_CHUNK) // max(1, 2 * slots * rows * words))
    work = _count_cropped if pred.device.type == "cpu" else _count_whole
    parts = [
        work(labels[0][at : at + chunk], labels[1][at : at + chunk], slots, radius, rows, words)
        for at in range(0, frames if slots else 0, chunk)
    ]
    if len(parts) != 1:
        parts.append(torch.zeros(6, slots, 0 if slots else frames, dtype=torch.int64, device=pred.device))
        parts = [torch.cat(parts, 2)]
    return Counts(*parts[0].mT)


def _bytes(labels: Integer[Tensor, "F Y X"]) -> UInt8[Tensor, "F Y X"]:
    """Labels as uint8; what does not fit counts as background."""
    if labels.dtype == torch.uint8:
        return labels
    labels = labels.to(torch.int64)
    return labels.where((labels >= 0) & (labels <= VOID), 0).to(torch.uint8)


def _tally(strip: Strip, radius: float) -> list[Int64[np.ndarray, "R W"]] | list[Int64[Tensor, "R W"]]:
    """The pixels of each field of ``Counts``, as words."""
    pred, truth = strip.masks
    fields = [pred & truth, pred | truth]
    if radius > 0:
        edges = boundaries(strip)
        near = dilate(edges, radius)
        fields += [edges[0], edges[1], edges[0] & near[1], edges[1] & near[0]]
    return fields


def _edge(width: int, words: int) -> Int64[np.ndarray, "W"]:
    """Words of one row with the bit of the last column set."""
    edge = np.zeros(words, np.uint64)
    edge[(width - 1) // WORD] = 1 << (width - 1) % WORD
    return edge.view(np.int64)


def _count_whole(
    pred: UInt8[Tensor, "F Y X"], truth: UInt8[Tensor, "F Y X"], slots: int, radius: float, rows: int, words: int
) -> Int64[Tensor, "6 K F"]:
    """``count`` on the tensors' device."""
    digits = slots.bit_length()
    planes = [(torch.stack((pred, truth)) >> digit) & 1 for digit in range(8)]
    void = planes[0][1]
    for plane in planes[1:]:
        void = void & plane[1]
    allowed = 1 - void.expand_as(planes[0])
    for plane in planes[digits:]:
        allowed = allowed & ~plane
    margin = (0, words * WORD - pred.shape[2], 0, rows - pred.shape[1])
    packed = [pack(torch.nn.functional.pad(plane, margin)) for plane in [*planes[:digits], allowed]]
    masks = separate(packed[:-1], packed[-1], slots)  # K 2 F rows words
    items = slots * pred.shape[0]
    first = torch.arange(items, device=pred.device) * rows
    strip = Strip(
        masks.transpose(0, 1).reshape(2, items * rows, words),
        torch.from_numpy(_edge(pred.shape[2], words)).to(pred.device)[None],
        first + pred.shape[1] - 1,
        first + rows - 1,
    )
    counts = pred.new_zeros(6, items, dtype=torch.int64)
    for field, pixels in zip(counts, _tally(strip, radius), strict=False):
        torch.sum(popcount(pixels).view(items, -1), 1, out=field)
    return counts.view(6, slots, -1)


def _masks(
    labels: UInt8[np.ndarray, "F R XW"], void: Int64[np.ndarray, "F R W"] | None, slots: int
) -> Int64[np.ndarray, "K F R W"]:
    """One mask per slot, as words."""
    digits = slots.bit_length()
    high = int(labels.max()) >> digits
    if digits == 1 and not high:
        planes = [pack(labels)]
    else:
        planes = [pack(labels & np.uint8(1 << digit)) for digit in range(digits)]
    barred = np.zeros_like(planes[0]) if void is None else void
    if high:
        barred = barred | pack(labels >> np.uint8(digits))
    return separate(planes, ~barred, slots)


def _count_cropped(
    pred: UInt8[Tensor, "F Y X"], truth: UInt8[Tensor, "F Y X"], slots: int, radius: float, rows: int, words: int
) -> Int64[Tensor, "6 K F"]:
    """``count`` in NumPy, on the box around each object's masks."""
    frames, height, width = pred.shape
    labels = np.zeros((2, frames, rows, words * WORD), np.uint8)
    labels[0, :, :height, :width] = pred.numpy()
    labels[1, :, :height, :width] = truth.numpy()
    void = pack((labels[1] == VOID).view(np.uint8)) if labels[1].max() == VOID else None
    masks = [_masks(each, void, slots) for each in labels]
    union = (masks[0] | masks[1]).reshape(slots * frames, rows, words)
    counts = np.zeros((6, slots * frames), np.int64)
    used = np.bitwise_or.reduce(union, axis=2) != 0  # items, rows
    items = np.flatnonzero(used.any(1))
    if len(items):
        # A boundary lies on the pixels left of and above the mask, too.
        used = used[items]
        top = np.maximum(used.argmax(1) - 1, 0)
        bottom = rows - used[:, ::-1].argmax(1)
        octets = np.bitwise_or.reduce(union, axis=1)[items].view(np.uint8)
        columns = np.unpackbits(octets, axis=1, bitorder="little")
        left = np.maximum(columns.argmax(1) - 1, 0) // WORD
        right = (words * WORD - 1 - columns[:, ::-1].argmax(1) + int(radius)) // WORD + 1
        wide = int((right - left).max())
        left = np.minimum(left, words - wide)
        sizes = bottom - top + int(radius)  # the rows below the box are empty
        first = np.cumsum(sizes) - sizes
        item = np.repeat(np.arange(len(items)), sizes)
        source = (items * rows + top - first)[item] + np.arange(len(item))
        index = (source * words + left[item])[:, None] + np.arange(wide)
        strip = Strip(
            np.stack([mask.reshape(-1).take(index) for mask in masks]),
            _edge(width, words)[left[:, None] + np.arange(wide)][item],
            (first + height - 1 - top)[bottom == height],
            first + sizes - 1,
        )
        for field, pixels in zip(counts, _tally(strip, radius), strict=False):
            field[items] = np.add.reduceat(popcount(pixels).reshape(-1), first * wide, dtype=np.int64)
    return torch.from_numpy(counts.reshape(6, slots, frames))
