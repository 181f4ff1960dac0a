"""Pixel-level matching with references and with the frame before."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosfw.errors import ConfigError
from vosfw.interfaces import Previous
from vosfw.model.matcher.distance import WindowMatcher
from vosfw.ops.matching import SortedCells, global_distance, least_of_others, sort_cells


class PixelMatcher(WindowMatcher[SortedCells]):
    """Global matching, multi-window local matching and their background counterparts (CFBI, sections 3.2 and 3.3).

    Maps per object: global, local by window, the frame before's mask, the nearest other object's local by window, and
    global.

    Args:
        windows: Radii of the local windows in cells of the local grid; the largest comes first in the maps.
        halve: Local matching at half the resolution.
        atrous: Take every n-th cell of references, down and across, at inference ("fast" CFBI: 2).
        float16: Match globally in float16, as "fast" CFBI does.

    Raises:
        ConfigError: If there is no window, or a number is below 1.
    """

    def __init__(
        self,
        windows: Sequence[int] = (2, 4, 6, 8, 10, 12),
        *,
        halve: bool = True,
        atrous: int = 1,
        float16: bool = False,
    ) -> None:
        super().__init__(windows, halve=halve)
        if atrous < 1:
            raise ConfigError(f"matcher.atrous is {atrous}; wanted a step in cells from 1")
        self.atrous = atrous
        self.float16 = float16
        local, others = (tuple(f"{of} within {r}" for r in self.windows) for of in ("previous", "others in previous"))
        self.map_names = ("references", *local, "mask", *others, "others in references")
        self.out_channels = len(self.map_names)

    def index(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]) -> SortedCells:
        """See ``Matcher.index``: cells sorted by object, with their norms."""
        step = 1 if self.training else self.atrous
        with torch.autocast(embedding.device.type, enabled=False):
            cells = sort_cells(embedding[..., ::step, ::step].float(), masks[..., ::step, ::step])
        return cells._replace(rows=cells.rows.half()) if self.float16 else cells

    def forward(
        self,
        query: Float[Tensor, "B C h w"],
        references: Sequence[SortedCells],
        previous: Previous,
        valid: Bool[Tensor, "B O"],
    ) -> Float[Tensor, "B O M h w"]:
        """See ``Matcher.forward``."""
        with torch.autocast(query.device.type, enabled=False):
            wide = query.half() if self.float16 else query.float()
            far = global_distance(wide, references, previous.masks.shape[1])
            whole = self._value(far.float()[:, :, None])
            local = self._local(query.float(), previous)
            others = self._others(torch.cat([local, whole], 2), valid)
            return torch.cat([whole, local, previous.probs[:, :, None].float(), others], 2)

    def _others(self, maps: Float[Tensor, "B O M h w"], valid: Bool[Tensor, "B O"]) -> Float[Tensor, "B O M h w"]:
        """Background maps: how near the other objects are; a class that is alone has its own map.

        References may hold cells of removed objects, which are no others.
        """
        if maps.shape[1] == 1:
            return maps
        used = valid[:, :, None, None, None]
        alone = used.sum(1, keepdim=True) == 1
        return torch.where(alone, maps, least_of_others(torch.where(used, maps, 1.0)))
