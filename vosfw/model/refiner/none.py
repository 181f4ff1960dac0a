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

    def forward(
        self, key: Float[Tensor, "B C T h w"], value: Float[Tensor, "B K Cv T h w"]
    ) -> Float[Tensor, "B K Cv T h w"]:
        """The values themselves."""
        return value
