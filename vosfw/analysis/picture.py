"""Contact sheets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from vosfw.data.files import replacing
from vosfw.errors import ConfigError

GAP = 4
"""White pixels between tiles."""
LINE = 16
"""Height of a line of text, in pixels."""
LETTERS = 12, 7
"""Largest and smallest size of letters."""
HEAT = ((0, 0, 0), (70, 0, 90), (190, 40, 60), (250, 150, 20), (255, 245, 190))
"""Colours from the least to the largest value, at even distances."""


def contact_sheet(
    tiles: Sequence[UInt8[Tensor, "3 _h _w"]], columns: int, height: int = 160, captions: Sequence[str] = ()
) -> UInt8[Tensor, "3 Y X"]:
    """Pictures side by side, row by row.

    Args:
        tiles: All are brought to the shape of the first one.
        columns: Tiles per row.
        height: Of a tile, in pixels.
        captions: A line above each tile; empty for none at all.

    Raises:
        ConfigError: If there is no tile, a number is below 1, or captions and tiles differ in number.
    """
    if captions and len(captions) != len(tiles):
        raise ConfigError(f"contact_sheet got {len(captions)} captions for {len(tiles)} tiles; wanted one for each")
    if not tiles or columns < 1 or height < 1:
        raise ConfigError(
            f"contact_sheet got {len(tiles)} tiles, columns={columns}, height={height}; wanted one or more of each"
        )
    size = (height, max(round(height * tiles[0].shape[2] / tiles[0].shape[1]), 1))
    rows, line = -(-len(tiles) // columns), LINE if captions else 0
    wide, high = columns * (size[1] + GAP) - GAP, rows * (line + height + GAP) - GAP
    sheet = torch.full((3, high, wide), 255, dtype=torch.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (line + height + GAP), i % columns * (size[1] + GAP)
        if captions:
            sheet[:, top : top + line, left : left + size[1]] = text_line(captions[i], size[1])
            top += line
        shrinks = tile.shape[1] > height
        options = {"mode": "bilinear", "antialias": True} if shrinks else {"mode": "nearest"}
        placed = F.interpolate(tile[None].float().cpu(), size, **options)[0]
        sheet[:, top : top + height, left : left + size[1]] = placed.round().clamp(0, 255).to(torch.uint8)
    return sheet


def text_line(text: str, width: int) -> UInt8[Tensor, "3 Y X"]:
    """Black letters on white, as large as fits."""
    image = Image.new("RGB", (width, LINE), "white")
    draw, (size, smallest) = ImageDraw.Draw(image), LETTERS
    while size > smallest and draw.textlength(text, ImageFont.load_default(size)) > width:
        size -= 1
    draw.text((0, LINE // 2), text, "black", ImageFont.load_default(size), anchor="lm")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def heat(values: Float[Tensor, "h w"]) -> UInt8[Tensor, "3 h w"]:
    """Values as colours from black (0 and below) over red to pale yellow (1 and above)."""
    colours = torch.tensor(HEAT, dtype=torch.float32)
    place = values.float().cpu().nan_to_num().clamp(0, 1) * (len(HEAT) - 1)
    lower = place.long().clamp(max=len(HEAT) - 2)
    mixed = torch.lerp(colours[lower], colours[lower + 1], (place - lower)[..., None])
    return mixed.permute(2, 0, 1).round().to(torch.uint8)


def with_heat_legend(picture: UInt8[Tensor, "3 Y X"], least: str, largest: str) -> UInt8[Tensor, "3 Z X"]:
    """A picture with a line below that tells what the colours of ``heat`` mean."""
    width = picture.shape[2]
    bar = heat(torch.linspace(0, 1, max(width // 8, 2)).expand(LINE, -1))
    # A space apart, as large as fits.
    parts = [text_line(least, _length(least)), bar, text_line(f" {largest}", _length(f" {largest}"))]
    line = torch.cat(parts, 2)
    line = F.pad(line, (0, max(width - line.shape[2], 0), GAP, 0), value=255)[..., :width]
    return torch.cat([picture, line], 1)


def _length(text: str) -> int:
    return round(ImageFont.load_default(LETTERS[0]).getlength(text)) + GAP


def write_picture(path: Path | str, picture: UInt8[Tensor, "3 Y X"]) -> None:
    """Write a PNG.

    Raises:
        OutputError: If the file cannot be written.
    """
    with replacing(Path(path)) as draft:
        Image.fromarray(picture.permute(1, 2, 0).contiguous().cpu().numpy()).save(draft, format="PNG")
