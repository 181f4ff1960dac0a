"""Proxies taken from a regular grid."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vosfw.interfaces import ProxyBuilder
from vosfw.ops.chunks import rows_at_once
from vosfw.ops.proxies import Proxies


class GridProxies(ProxyBuilder):
    """Embeddings of the object's cells that are nearest to a regular grid over its bounding box.

    "GSPR" of AOC-Net's table 4; the paper gives no detail. The grid has about as many columns as rows; objects with
    fewer cells than grid points have proxies more than once. Soft masks count as hard ones: no cells are averaged.
    """

    def forward(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"], count: int) -> Proxies:
        """See ``ProxyBuilder``."""
        batch, objects, height, width = masks.shape
        own = masks > 0
        top, tall = _extent(own.any(3))
        left, wide = _extent(own.any(2))
        down, across = torch.tensor(places(count), device=masks.device).unbind(1)
        y = top[..., None] + down * tall[..., None] - 0.5
        x = left[..., None] + across * wide[..., None] - 0.5
        rows, cells = rows_at_once(masks, batch * count * height * width), []
        for part, ys, xs in zip(own.split(rows, 1), y.split(rows, 1), x.split(rows, 1), strict=True):
            vertical = (ys[..., None] - torch.arange(height, device=masks.device)).square()
            horizontal = (xs[..., None] - torch.arange(width, device=masks.device)).square()
            distance = vertical[..., :, None] + horizontal[..., None, :]
            cells.append(distance.masked_fill_(~part[:, :, None], torch.inf).flatten(3).argmin(3))
        cell = torch.cat(cells, 1)
        points = embedding.flatten(2).transpose(1, 2)
        chosen = points.gather(1, cell.flatten(1)[..., None].expand(-1, -1, points.shape[2]))
        used = own.flatten(2).any(2)[..., None].expand(batch, objects, count)
        return Proxies(chosen.reshape(batch, objects, count, -1), used)


def places(count: int) -> list[tuple[float, float]]:
    """Grid points as shares of height and width; rows of unequal length spread over the width."""
    rows = math.isqrt(count)
    ends = [count * (row + 1) // rows for row in range(rows)]
    sizes = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    return [((row + 0.5) / rows, (i + 0.5) / size) for row, size in enumerate(sizes) for i in range(size)]


def _extent(hit: Tensor) -> tuple[Tensor, Tensor]:
    """First place and length of the part of an axis that an object covers."""
    length = hit.shape[2]
    first = hit.int().argmax(2)
    last = length - 1 - hit.flip(2).int().argmax(2)
    return first, last - first + 1
