"""Instance-level attention."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vosfw.interfaces import Gate


class InstanceGate(Gate):
    """A gain per object and channel from the object's descriptor alone: ``1 + tanh(W a + b)`` (CFBI, section 3.4).

    Args:
        channels: Of the map to be gated.
        head_dim: Width of the descriptor.
    """

    def __init__(self, channels: int, head_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(head_dim, channels)

    def forward(
        self, x: Float[Tensor, "B O C h w"], head: Float[Tensor, "B O D"], valid: Bool[Tensor, "B O"]
    ) -> Float[Tensor, "B O C"]:
        """See ``Gate``; map and valid slots play no part."""
        return 1 + torch.tanh(self.linear(head))
