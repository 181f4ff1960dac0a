"""Normalisation of images."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalize(nn.Module):
    """``(x - mean) / std`` per colour; a constant of the network, so not in its state.

    Args:
        mean: Of red, green and blue in 0..1.
        std: Of the same.
        bgr: Return blue, green, red instead, with the constants used in that order: the first ones for blue.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD, *, bgr: bool = False
    ) -> None:
        super().__init__()
        self.bgr = bgr
        mean, std = (list(values)[:: -1 if bgr else 1] for values in (mean, std))
        self.mean_color = (mean[0], mean[1], mean[2])
        """RGB that becomes zero."""
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """Frames whose mean colour is zero."""
        normalized = (frames - self.mean) / self.std
        return normalized.flip(-3) if self.bgr else normalized
