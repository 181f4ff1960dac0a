"""Synthetic videos, rendered when asked for: the data set that is always there."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from vosfw.data.dataset import VideoDataset
from vosfw.data.photograph import photograph_files
from vosfw.data.scene import Difficulty, Scene, Surfaces
from vosfw.data.video import Video
from vosfw.errors import ConfigError

SPLITS = ("train", "val", "test")
VISIBLE = 0.25
"""Share of its own disk that an object must show to be handed over."""


class SyntheticVideo(Video):
    """One synthetic video; each frame is a pure function of the seed and its number, so it may be of any length.

    Args:
        name: Of the video.
        seed: Of everything in it.
        surfaces: What it shows.
        size: Height and width in pixels.
        length: Number of frames.
        objects: Number of labelled objects.
        difficulty: How hard it is.
    """

    def __init__(
        self,
        name: str,
        seed: tuple[int, ...],
        surfaces: Surfaces,
        size: tuple[int, int],
        length: int,
        objects: int,
        difficulty: Difficulty,
    ) -> None:
        super().__init__(name, [f"{i:05d}" for i in range(length)], range(length), join="any")
        self._recipe = (seed, surfaces, size, length, objects, difficulty)

    @cached_property
    def _scene(self) -> Scene:
        return Scene.sample(*self._recipe)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._recipe[2]

    def frame(self, index: int) -> UInt8[Tensor, "3 Y X"]:
        """One RGB frame."""
        return self.read(index)[0]

    def id_map(self, index: int) -> UInt8[Tensor, "Y X"]:
        """Object ids of one frame."""
        return self._scene.ids(index)

    def read(self, index: int) -> tuple[UInt8[Tensor, "3 Y X"], UInt8[Tensor, "Y X"]]:
        """A frame and its object ids."""
        return self._scene.render(index)

    @cached_property
    def introduced(self) -> dict[int, int]:
        """The first frame in which each object is well in view."""
        missing = {body.id: body for body in self._scene.bodies if body.id}
        found: dict[int, int] = {}
        index = 0
        while missing and index < len(self):
            counts = np.bincount(self.id_map(index).flatten().numpy(), minlength=256)
            for id_ in sorted(missing):
                if counts[id_] >= VISIBLE * np.pi * missing[id_].radius ** 2:
                    found[id_] = index
                    del missing[id_]
            index = max(index + 1, min((body.enters for body in missing.values()), default=0))
        return found

    def __getstate__(self) -> dict[str, Any]:
        # A worker process paints the scene for itself.
        return {key: value for key, value in self.__dict__.items() if key != "_scene"}


class SyntheticDataset(VideoDataset):
    """Textured objects that move, turn, deform and hide each other over a moving background.

    Splits share neither textures nor shapes, nor do videos of different seeds share anything.

    Args:
        split: ``train``, ``val`` or ``test``.
        videos: Number of videos.
        length: Frames of each.
        size: Height and width in pixels.
        objects: Least and most labelled objects of a video.
        seed: Of the whole set.
        late: Probability that an object (not the first) enters after the first frame.
        leave: Probability that an object leaves; half of them come back.
        distractors: Probability, per object, of an unlabelled body that looks like it.
        speed: Factor on the motion.
        radius: Range of the objects' radii, as a share of the frame's shorter side.
        creatures: Probability that an object has a trunk with swinging members of any size.
        photographs: Folder of pictures to cut surfaces from, or ``packaged`` for those that scikit-image and
            scikit-learn bring along. None paints patterns only.
        photograph_share: Share of surfaces that are cut from photographs, if there are any.

    Raises:
        ConfigError: If an option has an illegal value.
    """

    def __init__(
        self,
        split: Literal["train", "val", "test"] = "train",
        videos: int = 64,
        length: int = 24,
        size: Sequence[int] = (96, 160),
        objects: Sequence[int] = (1, 3),
        seed: int = 0,
        late: float | int = 0.0,
        leave: float | int = 0.0,
        distractors: float | int = 0.3,
        speed: float | int = 1.0,
        radius: Sequence[float | int] = (0.15, 0.24),
        creatures: float | int = 0.0,
        photographs: str | None = None,
        photograph_share: float | int = 0.5,
    ) -> None:
        if split not in SPLITS:
            raise ConfigError(f"Unknown split {split!r} of the synthetic set; choose one of {', '.join(SPLITS)}.")
        if not 1 <= objects[0] <= objects[1] <= 32:
            raise ConfigError(f"objects must be two numbers with 1 <= least <= most <= 32, got {tuple(objects)}.")
        if videos < 1 or length < 1 or min(size) < 32:
            raise ConfigError(f"Wanted videos >= 1, length >= 1, sides >= 32; got {videos}, {length}, {tuple(size)}.")
        shares = (late, leave, distractors, creatures, photograph_share)
        if speed <= 0 or not all(0 <= share <= 1 for share in shares):
            raise ConfigError(f"Probabilities and shares lie in 0..1, speed > 0; got {shares} and {speed}.")
        if not 0 < radius[0] <= radius[1] <= 0.5:
            raise ConfigError(f"radius is a range within 0..0.5 of the shorter side, got {tuple(radius)}.")
        super().__init__([f"{split}-{i:04d}" for i in range(videos)])
        self.split, self.length, self.seed = split, length, seed
        self.size = (int(size[0]), int(size[1]))
        self.objects = (int(objects[0]), int(objects[1]))
        self.difficulty = Difficulty(late, leave, distractors, speed, (radius[0], radius[1]), creatures)
        files = () if photographs is None else photograph_files(photographs)
        self.surfaces = Surfaces(split, files, photograph_share)

    @property
    def lengths(self) -> list[int]:
        """Number of frames of each video."""
        return [self.length] * len(self)

    @property
    def annotated(self) -> list[range]:
        """Every frame has a mask."""
        return [range(self.length)] * len(self)

    def video(self, index: int) -> SyntheticVideo:
        """A lazy view of one video."""
        seed = (self.seed, SPLITS.index(self.split), index)
        objects = int(np.random.default_rng((*seed, 1)).integers(self.objects[0], self.objects[1] + 1))
        return SyntheticVideo(self.videos[index], seed, self.surfaces, self.size, self.length, objects, self.difficulty)
