"""From a video's own size to the network's input and back."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.interfaces import Grid


class Geometry(NamedTuple):
    """How one video is fitted to a network. All sizes are (height, width) in pixels."""

    original: tuple[int, int]
    resized: tuple[int, int]
    """After scaling, before padding."""
    padded: tuple[int, int]
    """The network's input."""
    top: int
    left: int

    @classmethod
    def plan(
        cls,
        original: tuple[int, int],
        grid: Grid,
        *,
        short_side: int | None = None,
        max_side: int | None = None,
        letterbox: tuple[int, int] | None = None,
        scale: float = 1.0,
    ) -> "Geometry":
        """Sizes for videos of ``original`` size on a network with ``grid``.

        Args:
            original: Height and width of the frames.
            grid: Legal sizes of the network. ``pad``: zeros around, the larger half at the bottom and right (STCN).
                ``resize``: each side goes to the nearest legal size, ties to even (CFBI).
            short_side: Length that the shorter side gets; enlarges too.
            max_side: Most pixels of the longer side; only ever shrinks.
            letterbox: Height and width of a box that frames are fitted into and padded to, whatever their aspect.
            scale: Further factor, of one version in multi-scale inference.

        Raises:
            ConfigError: If a side would vanish.
        """
        height, width = original
        factor = 1.0
        if short_side is not None:
            factor = short_side / min(height, width)
        if max_side is not None and max(height, width) * factor > max_side:
            factor = max_side / max(height, width)
        if letterbox is not None:
            factor = min(box / side for box, side in zip(letterbox, original, strict=True))
        # The published loaders truncate; the epsilon undoes rounding of exact ratios.
        sides = [int(side * factor * scale + 1e-6) for side in original]
        if grid.mode == "resize":
            step, offset = grid.multiple, grid.offset
            sides = [max(round((side - offset) / step), 1) * step + offset for side in sides]
        if min(sides) < 1:
            raise ConfigError(f"a {height}x{width} video would shrink to {sides[0]}x{sides[1]}: raise the size options")
        boxed = sides if letterbox is None else [round(side * scale) for side in letterbox]
        padded = [math.ceil(max(side - grid.offset, 0) / grid.multiple) * grid.multiple + grid.offset for side in boxed]
        if grid.mode == "resize":
            padded = sides
        return cls(
            original,
            (sides[0], sides[1]),
            (padded[0], padded[1]),
            (padded[0] - sides[0]) // 2,
            (padded[1] - sides[1]) // 2,
        )

    @property
    def margins(self) -> tuple[int, int, int, int]:
        """Padding as (left, right, top, bottom)."""
        right = self.padded[1] - self.resized[1] - self.left
        bottom = self.padded[0] - self.resized[0] - self.top
        return self.left, right, self.top, bottom

    def place_frames(
        self, frames: Float[Tensor, "B 3 Y X"], color: tuple[float, float, float], *, antialias: bool = False
    ) -> Float[Tensor, "B 3 H W"]:
        """Frames at input size: bicubic, not clipped, padded with the colour that the encoder maps to zero."""
        if frames.shape[-2:] != self.resized:
            frames = F.interpolate(frames, self.resized, mode="bicubic", align_corners=False, antialias=antialias)
        if not any(self.margins):
            return frames
        (height, width), (top, left) = self.resized, (self.top, self.left)
        canvas = frames.new_tensor(color)[None, :, None, None].repeat(frames.shape[0], 1, *self.padded)
        canvas[..., top : top + height, left : left + width] = frames
        return canvas

    def place_labels(self, labels: Integer[Tensor, "B Y X"], *, pad: int = 0) -> Integer[Tensor, "B H W"]:
        """A label map at input size: nearest, padded with ``pad`` (background, or ``VOID`` for losses)."""
        if labels.shape[-2:] != self.resized:
            labels = F.interpolate(labels[:, None].float(), self.resized, mode="nearest")[:, 0].to(labels.dtype)
        return F.pad(labels, self.margins, value=pad) if any(self.margins) else labels

    def place_probs(self, probs: Float[Tensor, "B C Y X"]) -> Float[Tensor, "B C H W"]:
        """Soft masks at input size: bilinear, padded with background (channel 0)."""
        if probs.shape[-2:] != self.resized:
            probs = F.interpolate(probs, self.resized, mode="bilinear", align_corners=False)
        if not any(self.margins):
            return probs
        background = F.pad(probs[:, :1], self.margins, value=1.0)
        return torch.cat([background, F.pad(probs[:, 1:], self.margins)], dim=1)

    def crop(self, maps: Shaped[Tensor, "*b H W"]) -> Shaped[Tensor, "*b y x"]:
        """A map at input size without its padding, as a view."""
        (height, width), (top, left) = self.resized, (self.top, self.left)
        return maps[..., top : top + height, left : left + width]
