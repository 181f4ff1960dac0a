"""No refinement."""

from jaxtyping import Float
from torch import Tensor

from vosfw.interfaces import Refiner


class NoRefiner(Refiner):
    """Hands the read-out on (STM, STCN).

    Args:
        frame_channels: Ignored.
        value_channels: Ignored.
    """

    def __init__(self, frame_channels: int = 0, value_channels: int = 0) -> None:
        super().__init__()

    def prepare(self, frames: Float[Tensor, "B T C h w"]) -> tuple[Tensor, ...]:
        """Nothing."""
        return ()

    def forward(
        self, value: Float[Tensor, "B K Cv T h w"], prepared: tuple[Tensor, ...]
    ) -> Float[Tensor, "B K Cv T h w"]:
        """The values themselves."""
        return value
