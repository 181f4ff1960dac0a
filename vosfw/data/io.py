"""Reading and writing of frames and masks; the one place to import them from."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vosfw.data.mask_file import PALETTE, open_picture, read_mask, write_mask
from vosfw.data.video_file import VideoFile, VideoWriter, write_video
from vosfw.errors import DatasetError

__all__ = [
    "FRAME_SUFFIXES",
    "PALETTE",
    "VideoFile",
    "VideoWriter",
    "frame_size",
    "read_frame",
    "read_mask",
    "refuse_deep",
    "write_mask",
    "write_video",
]

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")


def read_frame(path: Path | str) -> UInt8[Tensor, "3 Y X"]:
    """An RGB picture.

    Raises:
        DatasetError: If the file is missing, truncated, no picture, or has more than 8 bits of grey.
    """
    image = open_picture(Path(path), "frame")
    refuse_deep(image, Path(path))
    # One copy; ``convert`` makes another even of an RGB picture.
    pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


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
    except (OSError, Image.DecompressionBombError) as error:
        raise DatasetError(f"'{path}' is no picture ({error}). Copy or export it again.") from error


def refuse_deep(image: Image.Image, path: Path) -> None:
    """Refuse a frame in grey of 16 bits and more, which Pillow would cut off at 255.

    Raises:
        DatasetError: If it is one.
    """
    if image.mode[0] in "IF":
        raise DatasetError(
            f"The frame '{path}' is a {image.mode} picture, whose values do not fit 8 bits. Export it with 8 bits per "
            "channel."
        )
