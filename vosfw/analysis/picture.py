"""Contact sheets."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from vosfw.data.files import replacing
from vosfw.errors import ConfigError

GAP = 4
"""White pixels between tiles."""


def contact_sheet(tiles: Sequence[UInt8[Tensor, "3 _h _w"]], columns: int, height: int = 160) -> UInt8[Tensor, "3 Y X"]:
    """Pictures side by side, row by row.

    Args:
        tiles: All are brought to the shape of the first one.
        columns: Tiles per row.
        height: Of a tile, in pixels.

    Raises:
        ConfigError: If there is no tile, or a number is below 1.
    """
    if not tiles or columns < 1 or height < 1:
        raise ConfigError(
            f"contact_sheet got {len(tiles)} tiles, columns={columns}, height={height}; wanted one or more of each"
        )
    size = (height, max(round(height * tiles[0].shape[2] / tiles[0].shape[1]), 1))
    rows = -(-len(tiles) // columns)
    wide, high = columns * (size[1] + GAP) - GAP, rows * (height + GAP) - GAP
    sheet = torch.full((3, high, wide), 255, dtype=torch.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + GAP), i % columns * (size[1] + GAP)
        shrinks = tile.shape[1] > height
        options = {"mode": "bilinear", "antialias": True} if shrinks else {"mode": "nearest"}
        placed = F.interpolate(tile[None].float().cpu(), size, **options)[0]
        sheet[:, top : top + height, left : left + size[1]] = placed.round().clamp(0, 255).to(torch.uint8)
    return sheet


def write_picture(path: Path | str, picture: UInt8[Tensor, "3 Y X"]) -> None:
    """Write a PNG.

    Raises:
        OutputError: If the file cannot be written.
    """
    with replacing(Path(path)) as draft:
        Image.fromarray(picture.permute(1, 2, 0).contiguous().cpu().numpy()).save(draft, format="PNG")
