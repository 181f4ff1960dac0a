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
    "write_mask",
    "write_video",
]

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")


def read_frame(path: Path | str) -> UInt8[Tensor, "3 Y X"]:
    """An RGB picture.

    Raises:
        DatasetError: If the file is missing, truncated or no picture.
    """
    pixels = np.array(open_picture(Path(path), "frame").convert("RGB"))
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
