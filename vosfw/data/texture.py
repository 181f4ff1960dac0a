"""Procedural textures of the synthetic videos: a pattern, coloured by a few related colours."""

import colorsys
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Pattern = Callable[[np.random.Generator, int, int], Tensor]


def noise(draw: np.random.Generator, height: int, width: int, cell: float | int = 24.0) -> Float[Tensor, "h w"]:
    """Multi-octave noise in 0..1; ``cell`` is the coarsest wavelength in pixels."""
    field = torch.zeros(height, width)
    share = 1.0
    for step in (cell, cell / 2, cell / 4, cell / 8):
        if step < 2 and share < 1:
            break
        shape = (max(2, round(height / step)) + 1, max(2, round(width / step)) + 1)
        grid = torch.from_numpy(draw.standard_normal(shape, dtype=np.float32))[None, None]
        field += functional.interpolate(grid, (height, width), mode="bilinear", align_corners=True)[0, 0] * share
        share /= 2
    return torch.sigmoid(1.6 * field)


def _axes(draw: np.random.Generator, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Pixel coordinates turned by a random angle and slightly bent by noise."""
    y, x = torch.meshgrid(torch.arange(height) - height / 2, torch.arange(width) - width / 2, indexing="ij")
    angle = draw.uniform(0, np.pi)
    bend = 5 * noise(draw, height, width, 40)
    return x * np.cos(angle) + y * np.sin(angle) + bend, y * np.cos(angle) - x * np.sin(angle) + bend


def _wave(phase: Tensor, hardness: float | int) -> Tensor:
    """Sine in 0..1, squared off by ``hardness``."""
    return 0.5 + 0.5 * torch.tanh(hardness * torch.sin(phase))


def _stripes(draw: np.random.Generator, height: int, width: int) -> Tensor:
    along, _ = _axes(draw, height, width)
    return _wave(along * (2 * np.pi / draw.uniform(7, 16)), 2)


def _checks(draw: np.random.Generator, height: int, width: int) -> Tensor:
    along, across = _axes(draw, height, width)
    rate = np.pi / draw.uniform(5, 11)
    return _wave(along * rate, 3) * _wave(across * rate, 3) + (1 - _wave(along * rate, 3)) * (
        1 - _wave(across * rate, 3)
    )


def _gradient(draw: np.random.Generator, height: int, width: int) -> Tensor:
    along, _ = _axes(draw, height, width)
    ramp = (along - along.min()) / (along.max() - along.min())
    return 0.7 * ramp + 0.3 * noise(draw, height, width, 10)


def _spots(draw: np.random.Generator, height: int, width: int) -> Tensor:
    return torch.sigmoid(14 * (noise(draw, height, width, draw.uniform(10, 18)) - 0.6))


def _marble(draw: np.random.Generator, height: int, width: int) -> Tensor:
    along, _ = _axes(draw, height, width)
    return _wave(along * (2 * np.pi / draw.uniform(18, 30)) + 9 * noise(draw, height, width, 30), 1)


def _bricks(draw: np.random.Generator, height: int, width: int) -> Tensor:
    along, across = _axes(draw, height, width)
    rows = draw.uniform(7, 11)
    shift = (across / rows).floor() * rows
    mortar = torch.maximum((along + shift).remainder(2 * rows) / (2 * rows), across.remainder(rows) / rows)
    return (mortar < 0.82).float() * (0.6 + 0.4 * noise(draw, height, width, 12))


def _rings(draw: np.random.Generator, height: int, width: int) -> Tensor:
    along, across = _axes(draw, height, width)
    radius = torch.hypot(along - draw.uniform(-0.4, 0.4) * width, across - draw.uniform(-0.4, 0.4) * height)
    return _wave(radius * (2 * np.pi / draw.uniform(8, 16)), 2)


def _cells(draw: np.random.Generator, height: int, width: int) -> Tensor:
    # Voronoi cells of one jittered point per square: the nearest point lies in the 3x3 squares around a pixel.
    side = draw.uniform(11, 18)
    rows, columns = int(height / side) + 3, int(width / side) + 3
    jitter = torch.from_numpy(draw.uniform(0.15, 0.85, size=(2, rows, columns)).astype(np.float32))
    shade = torch.from_numpy(draw.uniform(size=(rows, columns)).astype(np.float32))
    y, x = torch.meshgrid(torch.arange(height) / side + 1, torch.arange(width) / side + 1, indexing="ij")
    best, field = torch.full((height, width), torch.inf), torch.zeros(height, width)
    for down, right in np.ndindex(3, 3):
        row, column = y.long() + down - 1, x.long() + right - 1
        distance = (row + jitter[0][row, column] - y) ** 2 + (column + jitter[1][row, column] - x) ** 2
        field = torch.where(distance < best, shade[row, column], field)
        best = torch.minimum(best, distance)
    return field


def _plaid(draw: np.random.Generator, height: int, width: int) -> Tensor:
    along, across = _axes(draw, height, width)
    periods = draw.uniform(6, 18, size=3)
    waves = [_wave(along * (2 * np.pi / periods[0]), 4), _wave(across * (2 * np.pi / periods[1]), 4)]
    return (waves[0] + waves[1] + _wave((along + across) * (2 * np.pi / periods[2]), 1)) / 3


PATTERNS: dict[str, dict[str, Pattern]] = {
    "train": {"noise": noise, "stripes": _stripes, "checks": _checks, "gradient": _gradient, "spots": _spots},
    "val": {"marble": _marble, "bricks": _bricks},
    "test": {"rings": _rings, "cells": _cells, "plaid": _plaid},
}
"""Families of patterns of each split; no two splits share one."""


def texture(
    draw: np.random.Generator, split: str, height: int, width: int, hue: float | None = None
) -> Float[Tensor, "3 h w"]:
    """An RGB texture in 0..1 of a random family of the split.

    Args:
        draw: Source of all randomness.
        split: Whose families.
        height: In pixels.
        width: In pixels.
        hue: Of the colours, in 0..1; random by default.
    """
    families = PATTERNS[split]
    pattern = families[str(draw.choice(list(families)))](draw, height, width)
    hue = draw.uniform() if hue is None else hue
    shades = [
        (draw.uniform(0.15, 0.45), draw.uniform(-0.05, 0.05)),
        (draw.uniform(0.6, 1.0), draw.uniform(-0.15, 0.15)),
    ]
    low, high = (
        torch.tensor(colorsys.hsv_to_rgb((hue + turn) % 1, draw.uniform(0.25, 0.9), value)) for value, turn in shades
    )
    colored = low[:, None, None] + (high - low)[:, None, None] * pattern
    return (colored * (0.85 + 0.3 * noise(draw, height, width, 6))).clamp(0, 1).float()
