"""Several matchers at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vosfw.errors import ConfigError
from vosfw.interfaces import Matcher, Previous

PIXEL = "pixel"


class StackMatcher(Matcher[tuple[Any, ...]]):
    """The maps of several matchers, one after the other.

    Args:
        matchers: By name, in the order of their maps.

    Raises:
        ConfigError: If there is none.
    """

    def __init__(self, matchers: Mapping[str, Matcher[Any]]) -> None:
        super().__init__()
        if not matchers:
            raise ConfigError("matcher.matchers is empty; wanted one matcher or more")
        self.matchers = nn.ModuleDict(matchers)
        self.out_channels = sum(matcher.out_channels for matcher in matchers.values())
        self.map_names = tuple(
            f"{name}: {said}"
            for name, matcher in matchers.items()
            for said in matcher.map_names or range(matcher.out_channels)
        )

    def _parts(self) -> list[Matcher[Any]]:
        return [part for part in self.matchers.values() if isinstance(part, Matcher)]

    def index(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]) -> tuple[Any, ...]:
        """See ``Matcher.index``: of each matcher."""
        return tuple(part.index(embedding, masks) for part in self._parts())

    def index_previous(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]) -> tuple[Any, ...]:
        """See ``Matcher.index_previous``: of each matcher."""
        return tuple(part.index_previous(embedding, masks) for part in self._parts())

    def forward(
        self,
        query: Float[Tensor, "B C h w"],
        references: Sequence[tuple[Any, ...]],
        previous: Previous,
        valid: Bool[Tensor, "B O"],
    ) -> Float[Tensor, "B O M h w"]:
        """See ``Matcher.forward``."""
        maps = []
        for i, part in enumerate(self._parts()):
            before = previous._replace(index=previous.index[i])
            maps.append(part(query, [reference[i] for reference in references], before, valid))
        return torch.cat(maps, 2)


class GranularityMatcher(StackMatcher):
    """Levels from an object's mean to its pixels (AOC-Net, table 4).

    Args:
        levels: Each a number of proxies per object, or ``pixel`` for all of its cells.
        pixel: The matcher of the level ``pixel``.
        proxy: Factory of the others, called with ``count``.

    Raises:
        ConfigError: If there is no level, one is unknown or given twice, or ``proxy`` has a number of its own.
    """

    def __init__(self, levels: Sequence[Any], pixel: Matcher[Any], proxy: Callable[..., Matcher[Any]]) -> None:
        listed = list(levels) if isinstance(levels, Sequence) and not isinstance(levels, str) else []
        known = all(level == PIXEL or (isinstance(level, int) and level >= 1) for level in listed)
        if not listed or not known or len(set(listed)) < len(listed):
            raise ConfigError(
                f"matcher.levels is {levels}; wanted a list of different levels, each a number of proxies from 1 or "
                f"{PIXEL}, such as [1, 16, {PIXEL}]"
            )
        given = getattr(proxy, "keywords", {}).get("count")
        if given is not None:
            raise ConfigError(f"matcher.proxy.count is {given}, and the levels say how many: set matcher.levels")
        super().__init__({str(level): pixel if level == PIXEL else proxy(count=level) for level in levels})
