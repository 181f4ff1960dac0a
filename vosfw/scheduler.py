"""Learning-rate schedules that torch.optim lacks."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vosfw.errors import ConfigError


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup: float = 0.05, floor: float = 0.01) -> LambdaLR:
    """Linearly up to the optimiser's rate, then down along half a cosine.

    Args:
        optimizer: Whose rate to change, after every step.
        total_steps: Length of the run in optimiser steps; later steps stay at the floor.
        warmup: Share of the run in which the rate rises, in [0, 1).
        floor: Rate at the end, as a share of the highest.

    Raises:
        ConfigError: If an option is out of range.
    """
    if total_steps < 1 or not 0 <= warmup < 1 or not 0 <= floor <= 1:
        raise ConfigError(
            f"scheduler has total_steps={total_steps}, warmup={warmup}, floor={floor}; wanted total_steps >= 1, "
            "warmup in [0, 1) and floor in [0, 1]"
        )
    rise = warmup * total_steps

    def factor(step: int) -> float:
        if step + 1 < rise:
            return (step + 1) / rise
        done = min((step - rise) / (total_steps - rise), 1.0)
        return floor + (1 - floor) * (1 + math.cos(math.pi * max(done, 0.0))) / 2

    return LambdaLR(optimizer, factor)
