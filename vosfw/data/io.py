"""Reading and writing of frames and masks (video files: ``vosfw.data.video_file``)."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from PIL import Image
from torch import Tensor

from vosfw.data.files import cannot_write, replacing
from vosfw.data.video_file import VideoFile, VideoWriter, write_video
from vosfw.errors import DatasetError
from vosfw.types import MAX_SLOTS, VOID

__all__ = [
    "FRAME_SUFFIXES",
    "PALETTE",
    "VideoFile",
    "VideoWriter",
    "frame_size",
    "read_frame",
    "read_mask",
    "write_mask",
    "write_video",
]

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
SOFT_EDGES = 0.1
"""Share of a greyscale mask's boundary pixels that may lie strictly between their neighbours."""


def _palette() -> UInt8[np.ndarray, "256 3"]:
    """Colours of PASCAL VOC (bits of the index, high to low), with DAVIS's 191 for 192 in its first 22 entries."""
    index = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= ((index >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    colors[:22][colors[:22] == 192] = 191
    return colors


PALETTE: UInt8[np.ndarray, "256 3"] = _palette()
"""RGB of each label, as in DAVIS and PASCAL VOC; 0 is black."""


def _open(path: Path, what: str) -> Image.Image:
    """A fully decoded picture, or a ``DatasetError`` that says how to cure it."""
    if not path.is_file():
        raise DatasetError(f"No {what} at '{path}'. Put the file there or take it out of the list.")
    try:
        image = Image.open(path)
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(
            f"The {what} '{path}' cannot be decoded ({error}; {path.stat().st_size} bytes). Copy or export it again."
        ) from error
    return image


def read_frame(path: Path | str) -> UInt8[Tensor, "3 Y X"]:
    """An RGB picture.

    Raises:
        DatasetError: If the file is missing, truncated or no picture.
    """
    pixels = np.array(_open(Path(path), "frame").convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def frame_size(path: Path | str) -> tuple[int, int]:
    """Height and width of a picture, from its header.

    Raises:
        DatasetError: If the file is missing or no picture.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"No frame at '{path}'. Put the file there or take it out of the list.")
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except OSError as error:
        raise DatasetError(f"'{path}' is no picture ({error}). Copy or export it again.") from error


def read_mask(path: Path | str, size: tuple[int, int] | None = None) -> UInt8[Tensor, "Y X"]:
    """Object ids of a mask: the index of a palette picture or the grey value; 0 background, 255 VOID.

    A greyscale mask of only 0 and 255 is binary and reads as object 1.

    Args:
        path: PNG, palette or greyscale.
        size: Height and width of the mask's frame, checked if given.

    Raises:
        DatasetError: If the file is missing or damaged, is coloured or anti-aliased, or has another size.
    """
    path = Path(path)
    image = _open(path, "mask")
    if size is not None and (image.height, image.width) != tuple(size):
        raise DatasetError(
            f"The mask '{path}' is {image.height}x{image.width} (height x width), its frame {size[0]}x{size[1]}. "
            "Export the mask at the size of the frame, without interpolation."
        )
    if image.mode == "P":
        return torch.from_numpy(np.array(image))
    if image.mode == "1":
        return torch.from_numpy(np.array(image).astype(np.uint8))
    if image.mode != "L" and not image.mode.startswith("I"):
        raise DatasetError(
            f"The mask '{path}' is a {image.mode} picture; masks hold one object id per pixel. "
            "Save it as a palette PNG (mode P) or as greyscale ids (mode L)."
        )
    return torch.from_numpy(_grey_ids(np.array(image), path))


def _grey_ids(values: Integer[np.ndarray, "Y X"], path: Path) -> UInt8[np.ndarray, "Y X"]:
    """Ids of a greyscale mask, after the checks that a palette makes unnecessary."""
    if values.min() < 0 or values.max() > VOID:
        raise DatasetError(
            f"The mask '{path}' has ids from {values.min()} to {values.max()}; wanted 0 to {MAX_SLOTS} and {VOID} "
            "for unlabelled pixels. Renumber the objects from 1."
        )
    ids = values.astype(np.uint8)
    present = np.flatnonzero(np.bincount(ids.ravel(), minlength=256))
    if present[-1] == VOID and set(present.tolist()) <= {0, VOID}:
        return np.where(ids == VOID, 1, 0).astype(np.uint8)
    inner = ids[1:-1, 1:-1].astype(np.int32)
    steps = np.stack([ids[1:-1, :-2], ids[1:-1, 2:], ids[:-2, 1:-1], ids[2:, 1:-1]]) - inner
    soft = (steps[0] * steps[1] < 0) | (steps[2] * steps[3] < 0)
    if soft.sum() > max(2, SOFT_EDGES * (steps != 0).any(0).sum()):
        stray = np.unique(inner[soft])
        raise DatasetError(
            f"The mask '{path}' has soft edges: {int(soft.sum())} pixels with {len(stray)} stray values such as "
            f"{', '.join(map(str, stray[:5]))} lie between those of their neighbours. "
            "Export it without anti-aliasing and resize masks by nearest neighbour only."
        )
    return ids


def write_mask(path: Path | str, labels: UInt8[Tensor, "Y X"], palette: UInt8[np.ndarray, "256 3"] = PALETTE) -> None:
    """Write object ids as a palette PNG; an existing file is replaced at once or not at all.

    Raises:
        OutputError: If the file cannot be written.
    """
    image = Image.fromarray(labels.cpu().numpy())
    image.putpalette(palette.tobytes())
    with replacing(Path(path)) as draft:
        try:
            image.save(draft, format="PNG")
        except OSError as error:
            raise cannot_write(path, error) from error
