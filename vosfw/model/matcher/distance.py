"""What matchers by distance share."""

from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vosfw.interfaces import Matcher

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
