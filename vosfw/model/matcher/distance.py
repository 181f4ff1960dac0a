"""What matchers by distance share."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.interfaces import Matcher, Previous
from vosfw.ops.matching import window_distance

BankT = TypeVar("BankT")


class DistanceMatcher(Matcher[BankT]):
    """Squared distances ``d`` as maps in 0..1: ``2 sigmoid(d + b) - 1``, 0 is the same, 1 is far or absent.

    ``b`` is learned, one of the background and one of all objects (CFBI, equation 1).
    """

    def __init__(self) -> None:
        super().__init__()
        self.bg_bias = nn.Parameter(torch.zeros(1))
        self.fg_bias = nn.Parameter(torch.zeros(1))

    def _value(self, distance: Float[Tensor, "B O M h w"]) -> Float[Tensor, "B O M h w"]:
        bias = torch.cat([self.bg_bias, self.fg_bias.expand(distance.shape[1] - 1)])
        return 2 * torch.sigmoid(distance + bias[:, None, None, None]) - 1


class WindowMatcher(DistanceMatcher[BankT]):
    """A matcher that also compares with the frame before in windows around each cell (CFBI, section 3.3).

    Args:
        windows: Radii of the windows in cells of the local grid; the largest comes first in the maps.
        halve: Do it at half the resolution.

    Raises:
        ConfigError: If there is no window, or a radius is below 1.
    """

    def __init__(self, windows: Sequence[int], *, halve: bool = True) -> None:
        super().__init__()
        if not windows or min(windows) < 1 or len(set(windows)) < len(windows):
            raise ConfigError(f"matcher.windows is {list(windows)}; wanted different radii from 1")
        # The largest window first, as the released layout has it.
        self.windows = (max(windows), *sorted(set(windows) - {max(windows)}))
        self.halve = halve

    def _local(self, query: Float[Tensor, "B C h w"], previous: Previous) -> Float[Tensor, "B O W h w"]:
        embedding, masks, size = previous.embedding.float(), previous.masks, query.shape[-2:]
        if self.halve:
            grid = [side // 2 + 1 for side in size]
            query, embedding = (F.interpolate(x, grid, mode="bilinear", align_corners=True) for x in (query, embedding))
            masks = F.interpolate(masks, grid, mode="nearest")
        near = self._value(window_distance(query, embedding, masks, self.windows))
        if not self.halve:
            return near
        wide = F.interpolate(near.flatten(0, 1), size, mode="bilinear", align_corners=True)
        return wide.reshape(*near.shape[:3], *size)
