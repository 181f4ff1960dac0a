"""No modulator."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from vosfw.interfaces import Gate, Modulator


class NoState(NamedTuple):
    """Nothing to remember."""


class NoModulator(Modulator[NoState]):
    """Hand the map on (CFBI).

    Args:
        channels: Of the map.
        head_dim: Plays no part.
        gate: Plays no part.
    """

    def __init__(self, channels: int, head_dim: int, gate: Callable[..., Gate]) -> None:
        super().__init__()
        self.out_channels = channels

    def empty(self, x: Float[Tensor, "B O C h w"]) -> NoState:
        """See ``Modulator.empty``."""
        return NoState()

    def reset(self, state: NoState, changed: Bool[Tensor, "B"]) -> NoState:
        """See ``Modulator.reset``."""
        return state

    def prime(self, state: NoState, x: Float[Tensor, "B O C h w"]) -> NoState:
        """See ``Modulator.prime``."""
        return state

    def forward(
        self, x: Float[Tensor, "B O C h w"], head: Float[Tensor, "B O D"], valid: Bool[Tensor, "B O"], state: NoState
    ) -> tuple[Float[Tensor, "B O C h w"], Any]:
        """See ``Modulator``."""
        return x, state
