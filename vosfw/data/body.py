"""Bodies of the synthetic videos: outlines that turn, bend, ripple and move along smooth paths."""

from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

Rows: TypeAlias = NDArray[np.float64]
MOVE = 10.0
"""Frames that entering or leaving takes."""
ANGLES = 128
"""Directions in which an outline's radius is tabulated."""
SHAPES: dict[str, tuple[str, ...]] = {
    "train": ("blob", "polygon", "superellipse"),
    "val": ("flower", "gear"),
    "test": ("star", "limbs", "bean"),
}
"""Families of outlines of each split; no two splits share one."""


class Wave(NamedTuple):
    """``mean + amplitude * sin(rate * t + phase)``, one per row."""

    mean: Rows
    amplitude: Rows
    rate: Rows
    phase: Rows

    def at(self, time: int) -> Rows:
        """Values at a frame."""
        return self.mean + self.amplitude * np.sin(self.rate * time + self.phase)


def wave(
    draw: np.random.Generator,
    mean: float | Rows,
    amplitude: float | Rows,
    period: tuple[float | int, float | int],
    rows: int = 1,
) -> Wave:
    """Waves of random phase, sense and period (frames, from a range)."""
    rate = 2 * np.pi / draw.uniform(*period, size=rows) * draw.choice([-1, 1], size=rows)
    full = np.ones(rows)
    return Wave(mean * full, amplitude * full, rate, draw.uniform(0, 2 * np.pi, size=rows))


class Part(NamedTuple):
    """One closed outline in the body's frame, where the body has radius 1."""

    radii: Float[Tensor, " angles"]
    """Outline at rest."""
    ripple: Wave
    """Fourier amplitudes of the outline's change, harmonics 2, 3, ..."""
    bend: Wave
    turn: Wave
    """Radians about the body's centre."""
    place: tuple[float, float]
    """Centre, before turning."""
    aspect: tuple[float, float]


class Body(NamedTuple):
    """A moving, textured thing."""

    id: int
    """0 for an unlabelled distractor."""
    texture: Float[Tensor, "3 h w"]
    parts: tuple[Part, ...]
    radius: float
    """In pixels."""
    path: Wave
    """Two waves per axis (y, x), in pixels; the second one has mean 0."""
    angle: Wave
    scale: Wave
    away: tuple[tuple[float, float, float], ...]
    """(frame, change, shift): from ``frame`` on, the body moves by ``change * shift`` pixels to the right."""

    @property
    def enters(self) -> int:
        """The frame from which on it may be seen."""
        return max([0, *(int(start) for start, change, _ in self.away[:2] if change < 0)])

    def center(self, time: int) -> Rows:
        """Of the body at a frame: y, x in pixels."""
        path = self.path.at(time)
        point: Rows = path[:2] + path[2:]
        for start, change, shift in self.away:
            ease = np.clip((time - start) / MOVE, 0, 1)
            point = point + change * ease * ease * (3 - 2 * ease) * np.array([0.0, shift])
        return point


def _radii(draw: np.random.Generator, family: str) -> Rows:
    """A closed outline of mean radius about 1."""
    theta: Rows = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    count = int(draw.integers(3, 7))
    if family == "polygon":
        sector = 2 * np.pi / count
        return np.asarray(np.cos(sector / 2) / np.cos(theta % sector - sector / 2) * 1.15)
    if family == "superellipse":
        power = draw.uniform(2.5, 6)
        return np.power(np.abs(np.cos(theta)) ** power + np.abs(np.sin(theta)) ** power, -1 / power)
    if family == "flower":
        return 1 + 0.25 * np.cos((count + 1) * theta)
    if family == "gear":
        return np.asarray(1 + 0.16 * np.tanh(4 * np.cos((count + 3) * theta)))
    if family == "star":
        return np.asarray(0.65 + 0.6 * np.abs(((count + 1) * theta / np.pi) % 2 - 1))
    order = np.arange(2, 6)
    shares = draw.normal(0, 0.35, size=4) / order
    return np.asarray(1 + shares @ np.cos(order[:, None] * theta + draw.uniform(0, 2 * np.pi, size=(4, 1))))


def _part(
    draw: np.random.Generator, radii: Rows, place: tuple[float, float], aspect: tuple[float, float],
    bend: float, swing: float, turn: float = 0.0,
) -> Part:  # fmt: skip
    return Part(
        torch.from_numpy(radii.astype(np.float32)),
        wave(draw, 0.0, 0.06, (14, 40), rows=3),
        wave(draw, draw.uniform(-bend, bend), bend / 2, (16, 40)),
        wave(draw, turn, swing, (12, 28)),
        place,
        aspect,
    )


def outlines(draw: np.random.Generator, family: str) -> tuple[Part, ...]:
    """Outlines of a body: one, or a trunk with swinging limbs or with members of any size (``creature``)."""
    if family == "limbs":
        trunk = _part(
            draw, _radii(draw, "blob"), (0.0, 0.0), (draw.uniform(0.5, 0.7), draw.uniform(0.6, 0.8)), 0.1, 0.0
        )
        angles = draw.uniform(0, 2 * np.pi) + 2 * np.pi / 4 * np.arange(4) + draw.normal(0, 0.2, size=4)
        limb = np.ones(ANGLES)
        return (trunk, *(_part(draw, limb, (0.0, 0.75), (0.2, 0.6), 0.3, 0.35, angle) for angle in angles))
    if family == "creature":
        trunk = _part(
            draw, _radii(draw, "blob"), (0.0, 0.0), (draw.uniform(0.35, 0.6), draw.uniform(0.5, 0.8)), 0.3, 0.0
        )
        count = int(draw.integers(2, 6))
        turns = draw.uniform(0, 2 * np.pi) + np.cumsum(draw.uniform(0.4, 1.8, size=count))
        sizes = draw.uniform((0.1, 0.3), (0.3, 0.6), size=(count, 2))
        members = [
            _part(draw, _radii(draw, "blob"), (0.0, draw.uniform(0.5, 0.8)), (wide, long), 0.4, 0.3, turn)
            for (wide, long), turn in zip(sizes, turns, strict=True)
        ]
        return (trunk, *members)
    if family == "bean":
        return (_part(draw, np.ones(ANGLES), (0.0, 0.0), (draw.uniform(0.4, 0.55), 1.2), 0.8, 0.0),)
    stretch = draw.uniform(0.75, 1.3)
    return (_part(draw, _radii(draw, family), (0.0, 0.0), (stretch, 1 / stretch), 0.15, 0.0),)


def coverage(
    body: Body, time: int, size: tuple[int, int]
) -> tuple[slice, slice, Float[Tensor, "y x"], Float[Tensor, "y x 2"]] | None:
    """The picture's rows and columns that a body touches, its opacity there, and the points in the body's frame."""
    (cy, cx), radius = body.center(time), body.radius * float(body.scale.at(time)[0])
    reach = 1.75 * radius
    top, left = max(0, int(cy - reach)), max(0, int(cx - reach))
    bottom, right = min(size[0], int(cy + reach) + 1), min(size[1], int(cx + reach) + 1)
    if top >= bottom or left >= right:
        return None
    angle = float(body.angle.at(time)[0])
    cos, sin = np.cos(angle) / radius, np.sin(angle) / radius
    y = torch.arange(top - cy, bottom - cy - 0.5)[:, None]
    x = torch.arange(left - cx, right - cx - 0.5)[None, :]
    v, u = y * cos - x * sin, x * cos + y * sin
    opacity = torch.stack([_opacity(part, time, v, u, radius) for part in body.parts]).amax(0)
    return slice(top, bottom), slice(left, right), opacity, torch.stack([u, v], -1)


def _opacity(part: Part, time: int, v: Tensor, u: Tensor, radius: float) -> Tensor:
    """1 inside the outline, 0 outside, about a pixel of transition."""
    turn = float(part.turn.at(time)[0])
    y = v * np.cos(turn) - u * np.sin(turn) - part.place[0]
    x = u * np.cos(turn) + v * np.sin(turn) - part.place[1]
    y = (y - float(part.bend.at(time)[0]) * (x * x - 0.3)) / part.aspect[0]
    x = x / part.aspect[1]
    theta = torch.arange(ANGLES) * (2 * np.pi / ANGLES)
    harmonics = torch.arange(2, 2 + len(part.ripple.mean))[:, None]
    outline = part.radii + (torch.from_numpy(part.ripple.at(time))[:, None] * torch.cos(harmonics * theta)).sum(0)
    place = torch.atan2(y, x).mul_(ANGLES / (2 * np.pi)).remainder_(ANGLES)
    low = place.floor()
    near = low.long()
    table = torch.cat([outline, outline[:2]]).float()
    edge = torch.lerp(table[near], table[near + 1], place - low)
    return (edge - torch.hypot(x, y)).mul_(radius * min(part.aspect)).add_(0.5).clamp_(0, 1)
