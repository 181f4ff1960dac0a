"""The toy world of the synthetic videos: textured bodies that hide each other over a moving background."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from vosfw.data.body import MOVE, SHAPES, Body, Wave, coverage, outlines, wave
from vosfw.data.photograph import photograph
from vosfw.data.texture import noise, texture


class Difficulty(NamedTuple):
    """What makes a video hard; probabilities per object unless stated."""

    late: float | int = 0.0
    """An object enters after the first frame."""
    leave: float | int = 0.0
    """An object leaves, and may come back."""
    distractors: float | int = 0.3
    """An unlabelled body looks like an object; the same, halved, for two objects that look alike."""
    speed: float | int = 1.0
    """Factor on all motion."""
    radius: tuple[float | int, float | int] = (0.15, 0.24)
    """Range, as a share of the frame's shorter side."""
    creatures: float | int = 0.0
    """A body has a trunk, a head and swinging limbs."""


class Surfaces(NamedTuple):
    """What bodies and backgrounds are made of."""

    split: str
    """Whose families of patterns and outlines."""
    photographs: tuple[Path, ...] = ()
    share: float | int = 0.0
    """Of surfaces that are parts of photographs; the others are patterns."""

    def paint(self, draw: np.random.Generator, height: int, width: int) -> Float[Tensor, "3 h w"]:
        """A random surface, RGB in 0..1."""
        if self.photographs and draw.uniform() < self.share:
            return photograph(draw, self.photographs, height, width)
        return texture(draw, self.split, height, width)


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
        cls,
        seed: tuple[int, ...],
        surfaces: Surfaces,
        size: tuple[int, int],
        length: int,
        objects: int,
        options: Difficulty,
    ) -> "Scene":
        """A random scene.

        Args:
            seed: Of everything in it.
            surfaces: What it is made of.
            size: Height and width in pixels.
            length: Frames of the video, by which entries and exits are timed.
            objects: How many labelled ones.
            options: How hard.
        """
        draw = np.random.default_rng(seed)
        bodies: list[Body] = []
        for id_ in range(1, objects + 1):
            twin = bodies[-1] if bodies and draw.uniform() < options.distractors / 2 else None
            bodies.append(_body(draw, surfaces, size, length, id_, bodies, twin, options))
        for original in bodies[:objects]:
            if draw.uniform() < options.distractors:
                calm = options._replace(late=options.late / 2, leave=options.leave / 2)
                bodies.append(_body(draw, surfaces, size, length, 0, bodies, original, calm))
        speed = 1 / options.speed
        camera = wave(draw, 0.0, 0.2, (50 * speed, 120 * speed), rows=4)
        camera = camera._replace(
            mean=np.array([0, 0, 0, 0.62]), amplitude=np.array([0.18, 0.22, draw.uniform(0, 0.15), 0.06])
        )
        order = draw.permutation(len(bodies))
        return cls(
            size,
            _background(draw, surfaces, size),
            camera,
            tuple(bodies[i] for i in order),
            wave(draw, 1.0, draw.uniform(0, 0.15), (20, 60), rows=3),
            torch.from_numpy(np.clip(draw.normal(128, 40, size=(128, 128)), 0, 255).astype(np.uint8)),
            draw.uniform(0, 0.15),
            bool(draw.uniform() < 0.3),
            int(draw.integers(2**31)),
        )


def _background(draw: np.random.Generator, surfaces: Surfaces, size: tuple[int, int]) -> Float[Tensor, "3 h w"]:
    """Regions of several textures, larger than the picture."""
    shrink = min(1.0, 640 / max(size))
    height, width = (round(1.4 * shrink * length) for length in size)
    picture = surfaces.paint(draw, height, width)
    for cell in (60, 40):
        region = (noise(draw, height, width, cell * size[0] / 96) > draw.uniform(0.55, 0.7)).float()
        picture = torch.lerp(picture, surfaces.paint(draw, height, width), region)
    return picture


def _body(
    draw: np.random.Generator,
    surfaces: Surfaces,
    size: tuple[int, int],
    length: int,
    id_: int,
    others: list[Body],
    twin: Body | None,
    options: Difficulty,
) -> Body:
    """A body that starts apart from the others; with a ``twin``, of its texture."""
    extent = np.array(size, float)
    radius = draw.uniform(*options.radius) * min(size)
    tile = int(np.clip(3.4 * radius, 48, 256))
    skin = surfaces.paint(draw, tile, tile) if twin is None else twin.texture.roll((tile // 3, tile // 4), (1, 2))
    periods = (40 / options.speed, 90 / options.speed)
    for _ in range(12):
        path = wave(draw, 0.0, np.tile(extent, 2), periods, rows=4)
        path = path._replace(
            mean=np.concatenate([draw.uniform(0.35, 0.65, size=2) * extent, np.zeros(2)]),
            amplitude=path.amplitude * np.repeat([draw.uniform(0.15, 0.3), draw.uniform(0.02, 0.08)], 2),
        )
        start = path.at(0)[:2] + path.at(0)[2:]
        inside = bool(((start > 0.5 * radius) & (start < extent - 0.5 * radius)).all())
        apart = all(np.hypot(*(start - other.center(0))) > 0.95 * (radius + other.radius) for other in others)
        if inside and apart:
            break
    creature = options.creatures > 0 and draw.uniform() < options.creatures
    return Body(
        id_,
        skin,
        outlines(draw, "creature" if creature else str(draw.choice(SHAPES[surfaces.split]))),
        radius,
        path,
        wave(draw, draw.uniform(0, 2 * np.pi), draw.uniform(0.2, 1.0), (25, 60)),
        wave(draw, 1.0, draw.uniform(0.05, 0.2), (25, 60)),
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
