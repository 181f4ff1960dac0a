"""Arithmetic of the network while a video is segmented."""

from contextlib import AbstractContextManager, nullcontext

import torch

from vosfw.errors import ConfigError

PRECISIONS = ("float32", "bfloat16")


def check_precision(option: str, precision: str) -> None:
    """Refuse a precision that is not known.

    Raises:
        ConfigError: Naming the option.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"{option} is {precision!r}; wanted {' or '.join(PRECISIONS)}")


def arithmetic(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Where the network is called: ``float32`` leaves it to the caller (who may have set autocast)."""
    return nullcontext() if precision == "float32" else torch.autocast(device.type, torch.bfloat16)
