"""Masks as picture files, in all the forms in which they exist.

Ids of any form are whole numbers that the same form writes again, so no state is needed from frame to frame:
palette index or grey value up to 255; grey value up to 65,535 of 16-bit pictures; a colour's index in the palette of
DAVIS, or ``COLOR`` plus 0xRRGGBB for any other colour.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Integer, UInt8
from PIL import Image
from torch import Tensor

from vosfw.data.files import cannot_write, replacing
from vosfw.errors import DatasetError
from vosfw.types import MAX_SLOTS, VOID

COLOR = 1 << 24
"""Id of black, were it an object: ids of colours that are not in the palette start here."""
MOST_GREY = 65_535
SOFT_EDGES = 0.1
"""Share of a mask's boundary pixels that may lie strictly between their neighbours."""


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
SHIFTS = np.array([1 << 16, 1 << 8, 1])
# PASCAL VOC's own 192 reads as DAVIS's 191.
KNOWN = {
    int(code): index
    for colors in (PALETTE, np.where(PALETTE == 191, 192, PALETTE))
    for index, code in enumerate(colors @ SHIFTS)
}
"""Index of each colour of the palette, by 0xRRGGBB."""


def open_picture(path: Path, what: str) -> Image.Image:
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


def read_mask(path: Path | str, size: tuple[int, int] | None = None, *, resize: bool = False) -> Integer[Tensor, "Y X"]:
    """Object ids of a mask: 0 background, 255 VOID; uint8 if they fit, else int32.

    A grey picture of only 0 and 255 is binary and reads as object 1. A coloured picture that is grey all over is read
    as a grey one. Transparent pixels are background.

    Args:
        path: PNG: palette, greyscale of 8 or 16 bits, or coloured.
        size: Height and width of the mask's frame, checked if given.
        resize: Resize a mask of another size to ``size``, by nearest neighbour, instead of refusing it.

    Raises:
        DatasetError: If the file is missing, damaged, a JPEG or anti-aliased, or has another size.
    """
    path = Path(path)
    image = open_picture(path, "mask")
    if image.format == "JPEG":
        raise DatasetError(f"The mask '{path}' is a JPEG: compression spoils its ids. Export the mask as PNG.")
    if size is not None and (image.height, image.width) != tuple(size):
        if not resize:
            raise DatasetError(
                f"The mask '{path}' is {image.height}x{image.width} (height x width), its frame {size[0]}x{size[1]}. "
                "Export the mask at the size of the frame, without interpolation, or ask for masks to be resized."
            )
        image = _checked(image, path).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return torch.from_numpy(_ids(image, path))


def mask_kind(image: Image.Image) -> str:
    """How a mask holds its ids: ``palette``, ``binary``, ``grey``, ``16-bit`` or ``colour``."""
    if image.mode == "P":
        return "palette"
    if image.mode == "1":
        return "binary"
    if image.mode.startswith("I"):
        return "16-bit"
    values = np.array(image)
    if values.ndim == 3 and not (values[..., :1] == values[..., :3]).all():
        return "colour"
    grey = values if values.ndim == 2 else values[..., 0]
    return "binary" if set(np.unique(grey).tolist()) <= {0, 255} else "grey"


def _checked(image: Image.Image, path: Path) -> Image.Image:
    """The picture, which was found to have hard edges; once resized that can no longer be told."""
    _ids(image, path)
    return image


def _ids(image: Image.Image, path: Path) -> Integer[np.ndarray, "Y X"]:
    if image.mode == "P":
        indices: Integer[np.ndarray, "Y X"] = np.array(image)
        return indices
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode in ("LA", "RGBA", "PA"):
        return _opaque_ids(np.array(image.convert("RGBA")), path)
    if image.mode == "RGB":
        return _color_ids(np.array(image), path)
    if image.mode != "L" and not image.mode.startswith("I"):
        raise DatasetError(
            f"The mask '{path}' is a {image.mode} picture, which holds no ids. "
            "Save it as a palette PNG (mode P), as greyscale ids (L, or 16 bits), or in plain colours (RGB)."
        )
    return _grey_ids(np.array(image), path)


def _grey_ids(values: Integer[np.ndarray, "Y X"], path: Path) -> Integer[np.ndarray, "Y X"]:
    if values.min() < 0 or values.max() > MOST_GREY:
        raise DatasetError(
            f"The mask '{path}' has ids from {values.min()} to {values.max()}; wanted 0 to {MOST_GREY}. Renumber the "
            "objects from 1."
        )
    if set(np.unique(values).tolist()) <= {0, VOID}:
        binary: Integer[np.ndarray, "Y X"] = (values == VOID).astype(np.uint8)
        return binary
    ids = values.astype(np.int32)
    _refuse_soft(ids[..., None], path)
    return ids.astype(np.uint8) if ids.max() <= VOID else ids


def _color_ids(values: UInt8[np.ndarray, "Y X 3"], path: Path) -> Integer[np.ndarray, "Y X"]:
    if (values[..., :1] == values).all():
        return _grey_ids(values[..., 0], path)
    colors = values.astype(np.int32)
    _refuse_soft(colors, path)
    codes, place = np.unique(colors @ SHIFTS, return_inverse=True)
    if len(codes) > MAX_SLOTS + 2:
        raise DatasetError(
            f"The mask '{path}' has {len(codes)} different colours; at most {MAX_SLOTS} objects fit. Is it a "
            "photograph? Give the mask, one colour per object."
        )
    table = np.array([KNOWN.get(int(code), COLOR + int(code)) for code in codes], np.int32)
    ids: Integer[np.ndarray, "Y X"] = table[place.reshape(values.shape[:2])]
    return ids.astype(np.uint8) if ids.max() <= VOID else ids


def _opaque_ids(values: UInt8[np.ndarray, "Y X 4"], path: Path) -> Integer[np.ndarray, "Y X"]:
    """Ids of a picture with transparency, which must be all or nothing."""
    alpha = values[..., 3]
    if partial := int(((alpha > 0) & (alpha < 255)).sum()):
        raise DatasetError(
            f"The mask '{path}' has soft edges: {partial} pixels are half transparent. Export it without anti-aliasing."
        )
    return _color_ids(np.where(alpha[..., None] == 0, 0, values[..., :3]), path)


def _refuse_soft(values: Integer[np.ndarray, "Y X c"], path: Path) -> None:
    """Refuse a picture whose boundaries are graded: pixels that lie between their neighbours on both sides."""
    inner = values[1:-1, 1:-1]
    pairs = ((values[1:-1, :-2], values[1:-1, 2:]), (values[:-2, 1:-1], values[2:, 1:-1]))
    soft = _between(inner, *pairs[0]) | _between(inner, *pairs[1])
    edge = np.zeros_like(soft)
    for pair in pairs:
        edge |= (pair[0] != inner).any(-1) | (pair[1] != inner).any(-1)
    if soft.sum() <= max(2, SOFT_EDGES * edge.sum()):
        return
    stray = np.unique(inner[soft], axis=0)
    shown = ", ".join(str(value[0] if len(value) == 1 else tuple(value)) for value in stray[:5].tolist())
    raise DatasetError(
        f"The mask '{path}' has soft edges: {int(soft.sum())} pixels with {len(stray)} stray values such as {shown} "
        "lie between those of their neighbours. Export it without anti-aliasing, and resize masks by nearest neighbour "
        "only."
    )


def _between(
    inner: Integer[np.ndarray, "y x c"], low: Integer[np.ndarray, "y x c"], high: Integer[np.ndarray, "y x c"]
) -> Bool[np.ndarray, "y x"]:
    within = ((low - inner) * (high - inner) <= 0).all(-1)
    found: Bool[np.ndarray, "y x"] = within & (low != inner).any(-1) & (high != inner).any(-1)
    return found


def write_mask(path: Path | str, labels: Integer[Tensor, "Y X"], palette: UInt8[np.ndarray, "256 3"] = PALETTE) -> None:
    """Write object ids: as a palette PNG, above 255 as a 16-bit one, and in colours if an id stands for one.

    An existing file is replaced at once or not at all.

    Raises:
        OutputError: If the file cannot be written.
        DatasetError: If there are ids of 16-bit masks beside those of colours.
    """
    ids = labels.cpu().numpy()
    image = _picture(ids, palette)
    with replacing(Path(path)) as draft:
        try:
            image.save(draft, format="PNG")
        except OSError as error:
            raise cannot_write(path, error) from error


def _picture(ids: Integer[np.ndarray, "Y X"], palette: UInt8[np.ndarray, "256 3"]) -> Image.Image:
    if ids.max() <= VOID:
        image = Image.fromarray(ids.astype(np.uint8))
        image.putpalette(palette.tobytes())
        return image
    if ids.max() <= MOST_GREY:
        return Image.fromarray(ids.astype(np.uint16))
    if ((ids > VOID) & (ids < COLOR)).any():
        raise DatasetError("ids above 255 cannot be written beside those of colours. Renumber the objects from 1.")
    code = ids - COLOR
    colors = np.stack([code >> 16, code >> 8, code], -1).astype(np.uint8)
    return Image.fromarray(np.where((ids < COLOR)[..., None], palette[np.minimum(ids, VOID)], colors))
