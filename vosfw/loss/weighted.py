"""Several losses of a frame as one."""

from collections.abc import Mapping
from typing import cast

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from vosfw.errors import ConfigError
from vosfw.loss.frame import FrameLoss


class WeightedLoss(FrameLoss):
    """Weighted sum of losses of a frame, such as IoU + gamma x cross-entropy (Li et al., IJCV 2022).

    Args:
        losses: By name.
        weights: Factors by the same names; 1 where none is given.

    Raises:
        ConfigError: If there is no loss, a weight is negative, or one has no loss of its name.
    """

    def __init__(self, losses: Mapping[str, FrameLoss], weights: Mapping[str, float | int] | None = None) -> None:
        super().__init__()
        weights = dict(weights or {})
        if not losses or set(weights) - set(losses) or min(weights.values(), default=0) < 0:
            raise ConfigError(
                f"loss.weights is {weights} for losses {', '.join(losses) or 'none'}; wanted factors from 0, each of "
                "one of the losses"
            )
        self.losses = nn.ModuleDict(dict(losses))
        self.weights = {name: float(weights.get(name, 1.0)) for name in losses}

    def per_sample(
        self,
        logits: Float[Tensor, "B O Y X"],
        labels: Integer[Tensor, "B Y X"],
        valid: Bool[Tensor, "B K"],
        progress: float | int,
        counted: Bool[Tensor, "B O"] | None = None,
    ) -> Float[Tensor, "B"]:
        """See ``FrameLoss.per_sample``."""
        total = logits.new_zeros(len(logits), dtype=torch.float32)
        for name, loss in self.losses.items():
            if self.weights[name]:
                part = cast("FrameLoss", loss).per_sample(logits, labels, valid, progress, counted)
                total = total + self.weights[name] * part
        return total
