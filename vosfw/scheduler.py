"""Learning-rate schedules that torch.optim lacks."""

import math
from collections.abc import Callable

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


def warmup_poly(
    optimizer: Optimizer, total_steps: int, warmup: int = 1000, power: float | int = 0.9, floor: float | int = 1e-5
) -> LambdaLR:
    """Linearly up from 0 to the optimiser's rate, then ``rate * (1 - (t - warmup) / (total - warmup + 1)) ** power``.

    The schedule of CFBI (Yang, Wei, Yang, ECCV 2020) and RPCM (Xu et al., AAAI 2022), as released. A run that is
    resumed with more steps goes on where the schedule of the longer run would be.

    Args:
        optimizer: Whose rate to change, after every step.
        total_steps: Length of the run in optimiser steps; later steps stay at the floor.
        warmup: Steps in which the rate rises.
        power: Of the decay, above 0.
        floor: Lowest rate at any step, also while it rises; absolute, not a share, but for the factor of a group
            (``layer_lr``).

    Raises:
        ConfigError: If an option is out of range.
    """
    if total_steps < 1 or warmup < 0 or power <= 0 or floor < 0:
        raise ConfigError(
            f"scheduler has total_steps={total_steps}, warmup={warmup}, power={power}, floor={floor}; wanted "
            "total_steps >= 1, warmup >= 0, power > 0 and floor >= 0"
        )
    length = max(total_steps - warmup + 1, 1)

    def factor(step: int) -> float:
        if step < warmup:
            return step / warmup
        return float(max(1 - (step - warmup) / length, 0.0) ** power)

    def above_floor(rate: float, lowest: float) -> Callable[[int], float]:
        return lambda step: max(factor(step), lowest / rate) if rate > 0 else 0.0

    rates = [(group.get("initial_lr", group["lr"]), group.get("factor", 1.0)) for group in optimizer.param_groups]
    return LambdaLR(optimizer, [above_floor(float(rate), floor * share) for rate, share in rates])
