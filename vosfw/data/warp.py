"""Random warps that make moving pictures of a still one."""

from typing import NamedTuple

import kornia.geometry.transform as geometry
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from vosfw.errors import ConfigError

POINTS = 12
"""Control points of the thin-plate splines."""


class Warp(NamedTuple):
    """Ranges of the warps of a still image; every frame gets its own (STCN, static stage, as released).

    Raises:
        ConfigError: If a range is negative or a probability not in 0..1.
    """

    rotation: float | int = 20.0
    """Degrees, to either side."""
    shear: float | int = 10.0
    """Degrees, to either side."""
    scale: tuple[float | int, float | int] = (0.9, 1.1)
    shift: float | int = 0.0
    """Largest shift, as a share of each side."""
    perspective: float | int = 0.0
    """Largest shift of a corner, as a share of each side."""
    spline: float | int = 0.33
    """Probability of a thin-plate spline."""
    spline_sigma: float | int = 0.02
    """Deviation of its control points, as a share of each side."""

    def check(self) -> "Warp":
        """Itself, if the ranges make sense."""
        least, most = self.scale
        amounts = (self.rotation, self.shear, self.shift, self.perspective, self.spline_sigma)
        if min(amounts) < 0 or not 0 <= self.spline <= 1 or not 0 < least <= most:
            raise ConfigError(f"warp has an illegal value: wanted amounts >= 0, 0 < scale, spline in 0..1; got {self}")
        return self


def draw_grids(draw: np.random.Generator, warp: Warp, size: tuple[int, int], frames: int) -> Float[Tensor, "T Y X 2"]:
    """Where each pixel of each frame comes from, as ``grid_sample`` takes it.

    Args:
        draw: Source of all randomness.
        warp: Ranges.
        size: Height and width in pixels.
        frames: Number ``T`` of frames.
    """
    ratio = size[1] / size[0]
    grids = []
    for _ in range(frames):
        angle = np.deg2rad(draw.uniform(-warp.rotation, warp.rotation))
        slant = np.tan(np.deg2rad(draw.uniform(-warp.shear, warp.shear)))
        scale = draw.uniform(*warp.scale)
        shift = draw.uniform(-2 * warp.shift, 2 * warp.shift, size=2)
        # In pixels of equal sides: turn, then shear along x, then zoom.
        cos, sin = np.cos(angle), np.sin(angle)
        linear = np.array([[cos + slant * sin, -sin + slant * cos], [sin, cos]]) / scale
        linear = linear * np.array([[1, 1 / ratio], [ratio, 1]])
        matrix = torch.from_numpy(np.concatenate([linear, shift[:, None]], 1)).float()
        grid = affine_grid(matrix[None], [1, 1, *size], align_corners=False)[0]
        if warp.perspective > 0:
            grid = _perspective(draw, grid, warp.perspective)
        if draw.uniform() < warp.spline:
            grid = _spline(draw, grid, warp.spline_sigma)
        grids.append(grid)
    return torch.stack(grids)


def _perspective(draw: np.random.Generator, grid: Tensor, amount: float | int) -> Tensor:
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])[None]
    moved = corners + torch.from_numpy(draw.uniform(-2 * amount, 2 * amount, size=(1, 4, 2))).float()
    points = torch.nn.functional.pad(grid, (0, 1), value=1.0) @ geometry.get_perspective_transform(corners, moved)[0].T
    seen: Tensor = points[..., :2] / points[..., 2:]
    return seen


def _spline(draw: np.random.Generator, grid: Tensor, sigma: float | int) -> Tensor:
    points = torch.from_numpy(draw.uniform(-1, 1, size=(1, POINTS, 2))).float()
    moved = points + torch.from_numpy(draw.normal(0, 2 * sigma, size=(1, POINTS, 2))).float()
    kernel, affine = geometry.get_tps_transform(points, moved)
    bent: Tensor = geometry.warp_points_tps(grid.flatten(0, 1)[None], points, kernel, affine)
    return bent[0].view_as(grid)


def warped(
    picture: Float[Tensor, "C Y X"], grids: Float[Tensor, "T Y X 2"], mode: str = "bilinear", padding: str = "zeros"
) -> Float[Tensor, "T C Y X"]:
    """A picture as seen through each grid; see ``torch.nn.functional.grid_sample`` for the choices."""
    frames = picture[None].expand(len(grids), -1, -1, -1)
    return grid_sample(frames, grids, mode=mode, padding_mode=padding, align_corners=False)
