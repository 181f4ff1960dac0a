"""Proxies taken from a regular grid."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vosfw.interfaces import ProxyBuilder
from vosfw.ops.proxies import Proxies


class GridProxies(ProxyBuilder):
    """Embeddings of the object's cells that are nearest to a regular grid over its bounding box.

    "GSPR" of AOC-Net's table 4; the paper gives no detail. The grid has about as many columns as rows; objects with
    fewer cells than grid points have proxies more than once.
    """

    def forward(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"], count: int) -> Proxies:
        """See ``ProxyBuilder``."""
        batch, objects, height, width = masks.shape
        own = masks > 0.5
        top, tall = _extent(own.any(3))
        left, wide = _extent(own.any(2))
        rows = math.isqrt(count)
        number = torch.arange(count, device=masks.device)
        # The last row may have fewer points: they spread over its width.
        row, columns = number * rows // count, torch.bincount(number * rows // count, minlength=rows)
        place = number - (columns.cumsum(0) - columns)[row]
        y = top[..., None] + (row + 0.5) / rows * tall[..., None] - 0.5
        x = left[..., None] + (place + 0.5) / columns[row] * wide[..., None] - 0.5
        down = (y[..., None] - torch.arange(height, device=masks.device)).square()
        across = (x[..., None] - torch.arange(width, device=masks.device)).square()
        distance = (down[..., :, None] + across[..., None, :]).masked_fill(~own[:, :, None], torch.inf)
        cell = distance.flatten(3).argmin(3)
        points = embedding.flatten(2).transpose(1, 2)
        chosen = points.gather(1, cell.flatten(1)[..., None].expand(-1, -1, points.shape[2]))
        used = own.flatten(2).any(2)[..., None].expand(batch, objects, count)
        return Proxies(chosen.reshape(batch, objects, count, -1), used)


def _extent(hit: torch.Tensor) -> tuple[Tensor, Tensor]:
    """First place and length of the part of an axis that an object covers."""
    length = hit.shape[2]
    first = hit.int().argmax(2)
    last = length - 1 - hit.flip(2).int().argmax(2)
    return first, last - first + 1
