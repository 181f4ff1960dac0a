"""Masks as run lengths: of COCO, of CVAT, and of Label Studio's brush."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from vosfw.errors import DatasetError

MOST_PIXELS = 178_956_970
"""Pixels of the largest picture, as Pillow has it: larger ones are taken for an attack."""


def decode_counts(text: str) -> list[int]:
    """Run lengths of COCO's compressed form.

    Each character holds 5 bits of a number, low ones first, and whether more follow; from the fourth on, a number is
    the difference to the one before the last.

    Raises:
        DatasetError: If there are other characters, or the text ends within a number.
    """
    counts: list[int] = []
    value = shift = 0
    for place, char in enumerate(text):
        bits = ord(char) - 48
        if not 0 <= bits < 64:
            raise DatasetError(f"compressed run lengths hold {char!r} at {place}; wanted characters from '0' to 'o'")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise DatasetError(f"compressed run lengths end within a number, after {len(text)} characters")
    return counts


def expand(counts: Sequence[int], size: tuple[int, int], *, by_columns: bool) -> Bool[np.ndarray, "Y X"]:
    """The mask of run lengths, which start with the background.

    Args:
        counts: Pixels of background, object, background, ...
        size: Height and width in pixels.
        by_columns: Down the columns, as in COCO, not along the rows.

    Raises:
        DatasetError: If a run is negative or no whole number, the size is absurd, or the runs do not fill it.
    """
    check_counts(counts, size)
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(size[::-1]).T if by_columns else flat.reshape(size)


def check_counts(counts: Sequence[int], size: tuple[int, int]) -> None:
    """Refuse run lengths that are no whole numbers from 0 or do not fill their size; see ``expand``."""
    check_size(size)
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        bad = next(count for count in counts if not (isinstance(count, int) and count >= 0))
        raise DatasetError(f"a run length is {bad!r}; wanted whole numbers from 0")
    if (total := sum(counts)) != size[0] * size[1]:
        raise DatasetError(
            f"run lengths sum up to {total} pixels, but {size[0]}x{size[1]} (height x width) are {size[0] * size[1]}"
        )


def check_size(size: tuple[int, int]) -> None:
    """Refuse a size that no picture has, before memory is asked for it.

    Raises:
        DatasetError: If it is one.
    """
    if min(size) < 1 or size[0] * size[1] > MOST_PIXELS:
        raise DatasetError(f"a size of {size[0]}x{size[1]} (height x width); wanted 1 to {MOST_PIXELS} pixels")


def decode_brush(data: Sequence[int], size: tuple[int, int]) -> UInt8[np.ndarray, "Y X"]:
    """Opacity of a stroke of Label Studio's brush, 0 to 255.

    Its bits: 32 for the number of values, 5 for the bits of a value less 1, four times 4 for the bits of a length less
    1; then blocks of 1 bit for a repeated value, 2 for which of the four lengths, the length less 1, and one value or
    as many as the length says. The values are red, green, blue and opacity of the pixels, row by row.

    Args:
        data: Bytes.
        size: Height and width in pixels.

    Raises:
        DatasetError: If the bytes end early or do not fill the size.
    """
    check_size(size)
    if not all(isinstance(value, int) and 0 <= value < 256 for value in data):
        raise DatasetError("the brush's run lengths hold something else than bytes, 0 to 255")
    length, place = 8 * len(data), 0
    stream = np.unpackbits(np.frombuffer(bytes(data), np.uint8))

    def read(count: int) -> int:
        nonlocal place
        if place + count > length:
            raise DatasetError(f"the brush's run lengths end early, after {len(data)} bytes")
        value = 0
        for bit in stream[place : place + count].tolist():
            value = value << 1 | bit
        place += count
        return value

    total = read(32)
    if total != 4 * size[0] * size[1]:
        raise DatasetError(
            f"the brush's run lengths hold {total} values; wanted {4 * size[0] * size[1]}, 4 for each of "
            f"{size[0]}x{size[1]} pixels (height x width)"
        )
    word = read(5) + 1
    lengths = [read(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.uint8)
    done = 0
    while done < total:
        repeated = read(1)
        stop = done + 1 + read(lengths[read(2)])
        if stop > total:
            raise DatasetError(f"the brush's run lengths run over their {total} values")
        if repeated:
            values[done:stop] = read(word) & 255
        else:
            values[done:stop] = [read(word) & 255 for _ in range(stop - done)]
        done = stop
    return values.reshape(*size, 4)[..., 3]
