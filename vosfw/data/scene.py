"""The toy world of the synthetic videos: textured bodies that move, deform and hide each other."""

from typing import NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vosfw.data.texture import noise, texture

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


class Difficulty(NamedTuple):
    """What makes a video hard; probabilities per object unless stated."""

    late: float = 0.0
    """An object enters after the first frame."""
    leave: float = 0.0
    """An object leaves, and may come back."""
    distractors: float = 0.3
    """An unlabelled body looks like an object; the same, halved, for two objects that look alike."""
    speed: float = 1.0
    """Factor on all motion."""


class Wave(NamedTuple):
    """``mean + amplitude * sin(rate * t + phase)``, one per row."""

    mean: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    rate: NDArray[np.float64]
    phase: NDArray[np.float64]

    def at(self, time: float) -> NDArray[np.float64]:
        """Values at a frame."""
        return self.mean + self.amplitude * np.sin(self.rate * time + self.phase)


def _wave(
    draw: np.random.Generator,
    mean: float | NDArray[np.float64],
    amplitude: float | NDArray[np.float64],
    period: tuple[float, float],
    rows: int = 1,
) -> Wave:
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

    def center(self, time: float) -> NDArray[np.float64]:
        """Of the body at a frame: y, x in pixels."""
        path = self.path.at(time)
        point = path[:2] + path[2:]
        for start, change, shift in self.away:
            ease = np.clip((time - start) / MOVE, 0, 1)
            point = point + change * ease * ease * (3 - 2 * ease) * np.array([0.0, shift])
        return point


def _radii(draw: np.random.Generator, family: str) -> NDArray[np.float64]:
    theta = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    count = int(draw.integers(3, 7))
    if family == "polygon":
        sector = 2 * np.pi / count
        return np.cos(sector / 2) / np.cos(theta % sector - sector / 2) * 1.15
    if family == "superellipse":
        power = draw.uniform(2.5, 6)
        return (np.abs(np.cos(theta)) ** power + np.abs(np.sin(theta)) ** power) ** (-1 / power)
    if family == "flower":
        return 1 + 0.25 * np.cos((count + 1) * theta)
    if family == "gear":
        return 1 + 0.16 * np.tanh(4 * np.cos((count + 3) * theta))
    if family == "star":
        return 0.65 + 0.6 * np.abs(((count + 1) * theta / np.pi) % 2 - 1)
    order = np.arange(2, 6)
    shares = draw.normal(0, 0.35, size=4) / order
    return 1 + (shares[:, None] * np.cos(order[:, None] * theta + draw.uniform(0, 6.3, size=(4, 1)))).sum(0)


def _part(
    draw: np.random.Generator, radii: NDArray[np.float64], place: tuple[float, float], aspect: tuple[float, float],
    bend: float, swing: float, turn: float = 0.0,
) -> Part:  # fmt: skip
    return Part(
        torch.from_numpy(radii.astype(np.float32)),
        _wave(draw, 0.0, 0.06, (14, 40), rows=3),
        _wave(draw, draw.uniform(-bend, bend), bend / 2, (16, 40)),
        _wave(draw, turn, swing, (12, 28)),
        place,
        aspect,
    )


def _parts(draw: np.random.Generator, family: str) -> tuple[Part, ...]:
    """Outlines of a body: one, or a trunk with swinging limbs."""
    if family == "limbs":
        trunk = _part(draw, _radii(draw, "blob"), (0.0, 0.0), (draw.uniform(0.5, 0.7), draw.uniform(0.6, 0.8)), 0.1, 0.0)
        angles = draw.uniform(0, 2 * np.pi) + 2 * np.pi / 4 * np.arange(4) + draw.normal(0, 0.2, size=4)
        limb = np.ones(ANGLES)
        return (trunk, *(_part(draw, limb, (0.0, 0.75), (0.2, 0.6), 0.3, 0.35, angle) for angle in angles))
    if family == "bean":
        return (_part(draw, np.ones(ANGLES), (0.0, 0.0), (draw.uniform(0.4, 0.55), 1.2), 0.8, 0.0),)
    stretch = draw.uniform(0.75, 1.3)
    return (_part(draw, _radii(draw, family), (0.0, 0.0), (stretch, 1 / stretch), 0.15, 0.0),)


def coverage(
    body: Body, time: float, size: tuple[int, int]
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


def _opacity(part: Part, time: float, v: Tensor, u: Tensor, radius: float) -> Tensor:
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


class Scene(NamedTuple):
    """All that a synthetic video shows; every frame is a pure function of its number."""

    size: tuple[int, int]
    background: Float[Tensor, "3 h w"]
    camera: Wave
    """Pan y, pan x (in backdrop units), roll (radians), zoom."""
    bodies: tuple[Body, ...]
    """Back to front."""
    light: Wave
    """Gain of red, green, blue."""
    grain: UInt8[Tensor, "g g"]
    noise: float
    blur: bool
    seed: int

    def ids(self, time: int) -> UInt8[Tensor, "Y X"]:
        """Object ids of a frame."""
        ids = torch.zeros(self.size, dtype=torch.uint8)
        for body in self.bodies:
            if (cover := coverage(body, time, self.size)) is not None:
                rows, columns, opacity, _ = cover
                ids[rows, columns].masked_fill_(opacity > 0.5, body.id)
        return ids

    def render(self, time: int) -> tuple[UInt8[Tensor, "3 Y X"], UInt8[Tensor, "Y X"]]:
        """A frame and its object ids."""
        picture = self._backdrop(time)
        ids = torch.zeros(self.size, dtype=torch.uint8)
        for body in self.bodies:
            if (cover := coverage(body, time, self.size)) is None:
                continue
            rows, columns, opacity, points = cover
            ids[rows, columns].masked_fill_(opacity > 0.5, body.id)
            skin = functional.grid_sample(
                body.texture[None], points[None] / 1.7, padding_mode="reflection", align_corners=False
            )[0]
            skin = skin * (1.05 - 0.22 * points.square().sum(-1).clamp(max=2)) - 0.1 * points[..., 1]
            picture[:, rows, columns].lerp_(skin, opacity)
        return self._exposed(picture, time), ids

    def _backdrop(self, time: int) -> Tensor:
        pan_y, pan_x, roll, zoom = self.camera.at(time)
        cos, sin = np.cos(roll) * zoom, np.sin(roll) * zoom
        ratio = self.size[1] / self.size[0]
        matrix = torch.tensor([[cos, -sin / ratio, pan_x], [sin * ratio, cos, pan_y]], dtype=torch.float32)
        grid = functional.affine_grid(matrix[None], [1, 3, *self.size], align_corners=False)
        return functional.grid_sample(self.background[None], grid, padding_mode="reflection", align_corners=False)[0]

    def _exposed(self, picture: Tensor, time: int) -> UInt8[Tensor, "3 Y X"]:
        gain = torch.from_numpy(self.light.at(time)).float()
        picture = picture * (255 * gain[:, None, None])
        if self.blur:
            picture = functional.avg_pool2d(picture[None], 3, 1, 1, count_include_pad=False)[0]
        side = self.grain.shape[0]
        start = np.random.default_rng((self.seed, time)).integers(0, side // 2, size=2)
        repeats = [-(-(length + side) // side) for length in self.size]
        grain = self.grain.repeat(*repeats)[start[0] : start[0] + self.size[0], start[1] : start[1] + self.size[1]]
        return picture.add_((grain.float() - 128) * self.noise).round_().clamp_(0, 255).to(torch.uint8)

    @classmethod
    def sample(
        cls, seed: tuple[int, ...], split: str, size: tuple[int, int], length: int, objects: int, options: Difficulty
    ) -> Self:
        """A random scene.

        Args:
            seed: Of everything in it.
            split: Whose textures and outlines.
            size: Height and width in pixels.
            length: Frames of the video, by which entries and exits are timed.
            objects: How many labelled ones.
            options: How hard.
        """
        draw = np.random.default_rng(seed)
        bodies: list[Body] = []
        for id_ in range(1, objects + 1):
            twin = bodies[-1] if bodies and draw.uniform() < options.distractors / 2 else None
            bodies.append(_body(draw, split, size, length, id_, bodies, twin, options))
        for original in bodies[:objects]:
            if draw.uniform() < options.distractors:
                calm = options._replace(late=options.late / 2, leave=options.leave / 2)
                bodies.append(_body(draw, split, size, length, 0, bodies, original, calm))
        speed = 1 / options.speed
        camera = _wave(draw, 0.0, 0.2, (50 * speed, 120 * speed), rows=4)
        camera = camera._replace(
            mean=np.array([0, 0, 0, 0.62]), amplitude=np.array([0.18, 0.22, draw.uniform(0, 0.15), 0.06])
        )
        order = draw.permutation(len(bodies))
        return cls(
            size,
            _background(draw, split, size),
            camera,
            tuple(bodies[i] for i in order),
            _wave(draw, 1.0, draw.uniform(0, 0.15), (20, 60), rows=3),
            torch.from_numpy(np.clip(draw.normal(128, 40, size=(128, 128)), 0, 255).astype(np.uint8)),
            draw.uniform(0, 0.15),
            bool(draw.uniform() < 0.3),
            int(draw.integers(2**31)),
        )


def _background(draw: np.random.Generator, split: str, size: tuple[int, int]) -> Float[Tensor, "3 h w"]:
    """Regions of several textures, larger than the picture."""
    shrink = min(1.0, 640 / max(size))
    height, width = (round(1.4 * shrink * length) for length in size)
    picture = texture(draw, split, height, width)
    for cell in (60, 40):
        region = (noise(draw, height, width, cell * size[0] / 96) > draw.uniform(0.55, 0.7)).float()
        picture = torch.lerp(picture, texture(draw, split, height, width), region)
    return picture


def _body(
    draw: np.random.Generator,
    split: str,
    size: tuple[int, int],
    length: int,
    id_: int,
    others: list[Body],
    twin: Body | None,
    options: Difficulty,
) -> Body:
    """A body that starts apart from the others; with a ``twin``, of its texture."""
    extent = np.array(size, float)
    radius = draw.uniform(0.15, 0.24) * min(size)
    tile = int(np.clip(3.4 * radius, 48, 256))
    skin = texture(draw, split, tile, tile) if twin is None else twin.texture.roll((tile // 3, tile // 4), (1, 2))
    periods = (40 / options.speed, 90 / options.speed)
    for _ in range(12):
        path = _wave(draw, 0.0, np.tile(extent, 2), periods, rows=4)
        path = path._replace(
            mean=np.concatenate([draw.uniform(0.35, 0.65, size=2) * extent, np.zeros(2)]),
            amplitude=path.amplitude * np.repeat([draw.uniform(0.15, 0.3), draw.uniform(0.02, 0.08)], 2),
        )
        start = path.at(0)[:2] + path.at(0)[2:]
        inside = bool(((start > 0.5 * radius) & (start < extent - 0.5 * radius)).all())
        apart = all(np.hypot(*(start - other.center(0))) > 0.95 * (radius + other.radius) for other in others)
        if inside and apart:
            break
    return Body(
        id_,
        skin,
        _parts(draw, str(draw.choice(SHAPES[split]))),
        radius,
        path,
        _wave(draw, draw.uniform(0, 2 * np.pi), draw.uniform(0.2, 1.0), (25, 60)),
        _wave(draw, 1.0, draw.uniform(0.05, 0.2), (25, 60)),
        _absences(draw, size, radius, length, id_, path, options),
    )


def _absences(
    draw: np.random.Generator,
    size: tuple[int, int],
    radius: float,
    length: int,
    id_: int,
    path: Wave,
    options: Difficulty,
) -> tuple[tuple[float, float, float], ...]:
    """When a body enters and leaves, by the left or right border; the first object is there from the start."""
    side = draw.choice([-1, 1])
    shift = side * (size[1] / 2 + abs(path.mean[1] - size[1] / 2) + 0.4 * size[1] + 2 * radius)
    moves: list[tuple[float, float, float]] = []
    if id_ != 1 and draw.uniform() < options.late:
        enter = draw.uniform(0.1, 0.4) * length
        moves += [(-MOVE, 1.0, shift), (enter, -1.0, shift)]
    if draw.uniform() < options.leave:
        leave = draw.uniform(0.5, 0.7) * length
        moves.append((leave, 1.0, shift))
        if draw.uniform() < 0.5:
            moves.append((leave + draw.uniform(0.15, 0.25) * length, -1.0, shift))
    return tuple(moves)
