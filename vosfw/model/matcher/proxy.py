"""Matching with a few proxies per object."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosfw.errors import ConfigError
from vosfw.interfaces import Previous, ProxyBuilder
from vosfw.model.matcher.distance import DistanceMatcher
from vosfw.ops.proxies import Proxies, proxy_distance


class ProxyMatcher(DistanceMatcher[Proxies]):
    """Distance to the nearest of an object's proxies: one level of granularity (AOC-Net).

    Maps per object: of the references together (the nearest of all), then of the frame before. A frame's proxies are
    made once, when it is memorised.

    Args:
        proxies: What makes them.
        count: Most proxies per object and frame; 1 is the object's mean.
        previous: Match with the frame before too; otherwise no proxies of it are made.

    Raises:
        ConfigError: If ``count`` is below 1.
    """

    def __init__(self, proxies: ProxyBuilder, count: int = 16, *, previous: bool = True) -> None:
        super().__init__()
        if count < 1:
            raise ConfigError(f"matcher.count is {count}; wanted a number of proxies per object from 1")
        self.proxies = proxies
        self.count = count
        self.previous = previous
        self.map_names = ("references", "previous") if previous else ("references",)
        self.out_channels = len(self.map_names)

    def index(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]) -> Proxies:
        """See ``Matcher.index``: the proxies."""
        with torch.autocast(embedding.device.type, enabled=False):
            proxies: Proxies = self.proxies(embedding.float(), masks.float(), self.count)
            return proxies

    def index_previous(
        self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]
    ) -> Proxies | tuple[()]:
        """See ``Matcher.index_previous``: the proxies, if wanted."""
        return self.index(embedding, masks) if self.previous else ()

    def forward(
        self,
        query: Float[Tensor, "B C h w"],
        references: Sequence[Proxies],
        previous: Previous,
        valid: Bool[Tensor, "B O"],
    ) -> Float[Tensor, "B O M h w"]:
        """See ``Matcher.forward``."""
        objects = previous.masks.shape[1]
        with torch.autocast(query.device.type, enabled=False):
            maps = [proxy_distance(query.float(), references, objects)]
            if self.previous:
                maps.append(proxy_distance(query.float(), [previous.index], objects))
            return self._value(torch.stack(maps, 2))
