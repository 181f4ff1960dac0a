"""Masks that come from the page."""

import io
from http import HTTPStatus

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosfw.annotate.refused import Refused


def decode_ids(data: bytes, size: tuple[int, int]) -> UInt8[np.ndarray, "Y X"]:
    """Ids of a PNG, grey or palette, whose values are the ids; its size is checked before it is decoded.

    Args:
        data: The file.
        size: Height and width that it must have.

    Raises:
        Refused: If it is no such PNG or of another size.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if (image.height, image.width) != size:
                raise Refused(
                    f"the mask is {image.height}x{image.width}, the frame {size[0]}x{size[1]} (height x width)",
                    HTTPStatus.UNPROCESSABLE_ENTITY,
                )
            if image.mode not in ("L", "P"):
                raise Refused(
                    f"the mask is a {image.mode} picture; wanted 8 bits of grey or a palette, one id per pixel",
                    HTTPStatus.UNPROCESSABLE_ENTITY,
                )
            image.load()
            return np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Refused(f"the mask is no PNG that can be read ({error})", HTTPStatus.BAD_REQUEST) from error


def most_bytes(size: tuple[int, int]) -> int:
    """Bytes that a PNG of ids may have; deflate adds little to what it cannot compress."""
    return size[0] * (size[1] + 1) + size[0] * size[1] // 100 + 65_536
