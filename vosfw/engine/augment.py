"""Test-time augmentation: several scales and flips of a network as one network."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from vosfw.engine.geometry import Geometry
from vosfw.errors import ConfigError
from vosfw.interfaces import Grid, Segmenter
from vosfw.ops.aggregate import logits_of
from vosfw.types import Features, ObjectMasks


class Augment:
    """Scales and flips whose predictions are averaged; one scale of 1 without flip changes nothing.

    Args:
        scales: Factors of the input size.
        flip: Whether each scale also runs mirrored left to right.
        max_side: Limit of the longer side before ``scales`` apply (800 in CFBI's multi-scale protocol).

    Raises:
        ConfigError: If no scale is given or one is not positive.
    """

    def __init__(self, scales: Sequence[float] = (1.0,), flip: bool = False, max_side: int | None = None) -> None:
        if not scales or min(scales) <= 0:
            raise ConfigError(f"engine.augment.scales is {list(scales)}; wanted one or more positive factors")
        self.scales = tuple(scales)
        self.flip = flip
        self.max_side = max_side

    def __call__(self, segmenter: Segmenter[Any]) -> Segmenter[Any]:
        """The network itself, or one that runs all versions of it."""
        if self.scales == (1.0,) and not self.flip:
            return segmenter
        return AugmentedSegmenter(segmenter, self)


class Version(NamedTuple):
    """One way to look at a frame."""

    geometry: Geometry
    flip: bool


class AugmentedState(NamedTuple):
    """A state per version."""

    versions: tuple[Any, ...]
    valid: Bool[Tensor, "B K"]


class AugmentedSegmenter(Segmenter[AugmentedState]):
    """Runs every version with its own state; the result is the log of the mean probability at input size."""

    grid = Grid(1, "resize")

    def __init__(self, segmenter: Segmenter[Any], augment: Augment) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.clip_length = segmenter.clip_length
        self.sequential = segmenter.sequential
        self.mask_gradient = segmenter.mask_gradient
        self.pad_color = segmenter.pad_color
        self.options = augment

    def _versions(self, frames: Tensor) -> list[Version]:
        size, options = (frames.shape[-2], frames.shape[-1]), self.options
        flips = (False, True) if options.flip else (False,)
        plans = [
            Geometry.plan(size, self.segmenter.grid, max_side=options.max_side, scale=scale) for scale in options.scales
        ]
        return [Version(plan, flip) for plan in plans for flip in flips]

    def _split(self, features: Features) -> list[Features]:
        """The versions' own features; each has its frames in front of its levels."""
        count = len(self.options.scales) * (2 if self.options.flip else 1)
        length = len(features.levels) // count
        parts = [features.levels[i * length : (i + 1) * length] for i in range(count)]
        return [Features(part[0], part[1:]) for part in parts]

    def _masks(self, masks: ObjectMasks, version: Version) -> ObjectMasks:
        probs, weight = masks.probs, masks.weight
        if self.segmenter.grid.mode == "pad":
            probs, weight = version.geometry.place_probs(probs), version.geometry.place_probs(weight)
        if version.flip:
            probs, weight = probs.flip(-1), weight.flip(-1)
        return ObjectMasks(probs, masks.valid, weight)

    def encode(self, frames: Float[Tensor, "B T 3 H W"]) -> Features:
        """Features of every version, one after the other in ``levels``."""
        levels: list[Tensor] = []
        for version in self._versions(frames):
            placed = version.geometry.place_frames(frames.flatten(0, 1), self.pad_color)
            placed = placed.flip(-1) if version.flip else placed
            features = self.segmenter.encode(placed.unflatten(0, frames.shape[:2]))
            levels += [features.frames, *features.levels]
        return Features(frames, tuple(levels))

    def init_state(self, features: Features, masks: ObjectMasks, *, keep: bool = True) -> AugmentedState:
        """A state per version."""
        versions = zip(self._split(features), self._versions(features.frames), strict=True)
        states = [self.segmenter.init_state(f, self._masks(masks, v), keep=keep) for f, v in versions]
        return AugmentedState(tuple(states), masks.valid)

    def segment(self, features: Features, state: AugmentedState) -> tuple[Float[Tensor, "B T O y x"], AugmentedState]:
        """Log of the mean over the versions of their class probabilities."""
        size = features.frames.shape[-2:]
        total: Tensor | None = None
        states: list[Any] = []
        versions = zip(self._split(features), self._versions(features.frames), state.versions, strict=True)
        for inner, (geometry, flip), old in versions:
            logits, new = self.segmenter.segment(inner, old)
            states.append(new)
            flat = logits.flatten(0, 1)
            if self.segmenter.grid.mode == "pad":
                if flat.shape[-2:] != geometry.padded:
                    flat = F.interpolate(flat, geometry.padded, mode="bilinear", align_corners=False)
                flat = geometry.crop(flat.flip(-1) if flip else flat)
            elif flip:
                flat = flat.flip(-1)
            if flat.shape[-2:] != size:
                flat = F.interpolate(flat, size, mode="bilinear", align_corners=self.segmenter.grid.mode == "resize")
            probs = flat.float().softmax(1)
            total = probs if total is None else total + probs
        if total is None:
            raise ConfigError("engine.augment.scales is empty; wanted one or more positive factors")
        mean = logits_of(total / len(states)).unflatten(0, features.frames.shape[:2])
        return mean, AugmentedState(tuple(states), state.valid)

    def memorize(self, features: Features, masks: ObjectMasks, state: AugmentedState, *, keep: bool) -> AugmentedState:
        """Every version remembers its own view of the frame."""
        versions = zip(self._split(features), self._versions(features.frames), state.versions, strict=True)
        states = [self.segmenter.memorize(f, self._masks(masks, v), s, keep=keep) for f, v, s in versions]
        return AugmentedState(tuple(states), masks.valid)

    def remove(self, state: AugmentedState, keep: Bool[Tensor, "K"]) -> AugmentedState:
        """Remove slots from every version."""
        return AugmentedState(tuple(self.segmenter.remove(s, keep) for s in state.versions), state.valid & keep)
