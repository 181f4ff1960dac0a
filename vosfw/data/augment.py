"""Training augmentation: STCN's by default, every step an option."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import kornia.geometry.transform as geometry
import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from kornia.color import rgb_to_grayscale
from torch import Tensor
from torch.nn.functional import interpolate

from vosfw.data.dataset import TRIES, Sample
from vosfw.data.jitter import Jitter, draw_jitter, recolored
from vosfw.data.video import slot_labels
from vosfw.errors import ConfigError
from vosfw.types import VOID, Clip


class Draw(NamedTuple):
    """All random choices of one clip."""

    box: tuple[int, int, int, int]
    """Top, left, height, width of the crop."""
    flip: bool
    jitter: Jitter
    gray: bool
    angles: Float[Tensor, " T"]
    """Rotation of each frame in degrees."""
    shears: Float[Tensor, " T"]
    """Shear of each frame along x, in degrees."""
    frame_jitter: Jitter


class ClipAugment:
    """Shared by the clip: crop, flip, colour jitter, grayscale; per frame: affine warp, colour jitter.

    Defaults are STCN's main stage (Cheng et al., NeurIPS 2021, released code). ``prepare`` crops and chooses objects
    where the clip is read, in uint8; the call resizes, warps and recolours batches on their device. Both draw from
    the clip's ``meta.seed`` alone, so a clip looks the same in any batch, worker or process.

    Objects without ``min_pixels`` pixels in the finished first frame become background, slot and all. ``prepare``
    tries up to 5 draws until an object is left; if none is, the clip is all background. Of those left, at most
    ``max_objects`` are kept, chosen at random.

    Args:
        crop: Height and width of the clips.
        scale: Range of the crop's share of the frame's area, before it is resized to ``crop``.
        ratio: Range of the crop's aspect ratio relative to that of ``crop``.
        short_side: In place of ``scale`` and ``ratio`` (CFBI): range of lengths in pixels; the frame's shorter side is
            brought to one of them before ``crop`` is cut out. A side that is smaller than ``crop`` is stretched to it.
        position: ``random``, or ``center`` of the frame.
        flip: Probability of a horizontal flip.
        jitter: Brightness, contrast, saturation (each a range of +- around the factor 1), hue (+- turns).
        gray: Probability of grayscale.
        rotation: Largest turn of a frame, in degrees.
        shear: Largest shear of a frame along x, in degrees.
        frame_jitter: Like ``jitter``, for each frame.
        fill: RGB in 0..255 of the area that warping uncovers.
        max_objects: Most objects of a clip; None keeps all.
        min_pixels: Fewest pixels of an object in the first frame.
        antialias: Low-pass filter when frames are shrunk.

    Raises:
        ConfigError: If an option has an illegal value.
    """

    def __init__(
        self,
        crop: Sequence[int] = (384, 384),
        scale: Sequence[float | int] = (0.36, 1.0),
        ratio: Sequence[float | int] = (3 / 4, 4 / 3),
        short_side: Sequence[float | int] | None = None,
        position: Literal["random", "center"] = "random",
        flip: float | int = 0.5,
        jitter: Sequence[float | int] = (0.1, 0.03, 0.03, 0.0),
        gray: float | int = 0.05,
        rotation: float | int = 15.0,
        shear: float | int = 10.0,
        frame_jitter: Sequence[float | int] = (0.01, 0.01, 0.01, 0.0),
        fill: Sequence[int] = (124, 116, 104),
        max_objects: int | None = 2,
        min_pixels: int = 1,
        antialias: bool = True,
    ) -> None:
        if not (0 < scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1]):
            raise ConfigError(f"scale is a range within 0..1, ratio one above 0; got {tuple(scale)}, {tuple(ratio)}.")
        if short_side is not None and not (len(short_side) == 2 and 0 < short_side[0] <= short_side[1]):
            raise ConfigError(f"short_side is a range above 0, or null; got {tuple(short_side)}.")
        if not (0 <= flip <= 1 and 0 <= gray <= 1):
            raise ConfigError(f"flip and gray are probabilities in 0..1; got {flip} and {gray}.")
        if min(*crop, min_pixels, 1 if max_objects is None else max_objects) < 1:
            raise ConfigError(
                f"crop, max_objects, min_pixels are >= 1; got {tuple(crop)}, {max_objects}, {min_pixels}."
            )
        if not all(len(amounts) == 4 and 0 <= min(amounts) <= max(amounts) <= 1 for amounts in (jitter, frame_jitter)):
            raise ConfigError(f"Jitters are 4 numbers in 0..1; got {tuple(jitter)} and {tuple(frame_jitter)}.")
        if position not in ("random", "center"):
            raise ConfigError(f"position is 'random' or 'center', got {position!r}.")
        self.crop = (int(crop[0]), int(crop[1]))
        self.scale, self.ratio = (scale[0], scale[1]), (ratio[0], ratio[1])
        self.short_side = None if short_side is None else (short_side[0], short_side[1])
        self.position, self.flip = position, flip
        self.jitter, self.gray, self.rotation, self.shear = tuple(jitter), gray, rotation, shear
        self.frame_jitter = tuple(frame_jitter)
        self.fill = torch.tensor(list(fill)) / 255
        self.max_objects, self.min_pixels, self.antialias = max_objects, min_pixels, antialias

    def draw(self, seed: int, size: tuple[int, int], frames: int) -> Draw:
        """The random choices of a clip: a pure function of the arguments.

        Args:
            seed: Of the clip.
            size: Height and width of its frames as read.
            frames: How many there are.
        """
        draw = np.random.default_rng(seed)
        box = self._box(draw, size)
        flip, gray = bool(draw.uniform() < self.flip), bool(draw.uniform() < self.gray)
        jitter = draw_jitter(draw, self.jitter, 1, frames)
        angles = draw.uniform(-self.rotation, self.rotation, size=frames)
        shears = draw.uniform(-self.shear, self.shear, size=frames)
        frame_jitter = draw_jitter(draw, self.frame_jitter, frames, frames)
        return Draw(box, flip, jitter, gray, torch.from_numpy(angles), torch.from_numpy(shears), frame_jitter)

    def _box(self, draw: np.random.Generator, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """A box of random size somewhere in the frame, or in its middle."""
        height, width = self._box_size(draw, size)
        top, left = int(draw.integers(0, size[0] - height + 1)), int(draw.integers(0, size[1] - width + 1))
        if self.position == "center":
            top, left = (size[0] - height) // 2, (size[1] - width) // 2
        return top, left, height, width

    def _box_size(self, draw: np.random.Generator, size: tuple[int, int]) -> tuple[int, int]:
        """Random area and shape; after ten that do not fit, the largest that does."""
        if self.short_side is not None:
            zoom = draw.uniform(self.short_side[0], self.short_side[1]) / min(size)
            height, width = (min(max(1, round(side / zoom)), most) for side, most in zip(self.crop, size, strict=True))
            return height, width
        target = self.crop[1] / self.crop[0]
        for _ in range(10):
            area = draw.uniform(self.scale[0], self.scale[1]) * size[0] * size[1]
            aspect = target * np.exp(draw.uniform(np.log(self.ratio[0]), np.log(self.ratio[1])))
            fits = round(np.sqrt(area / aspect)), round(np.sqrt(area * aspect))
            if 0 < fits[0] <= size[0] and 0 < fits[1] <= size[1]:
                return fits
        return min(size[0], round(size[1] / target)), min(size[1], round(size[0] * target))

    def prepare(self, sample: Sample) -> Sample:
        """The clip cropped, with the objects to train on; its ``meta.seed`` becomes that of the accepted draw."""
        slots, count = sample.given.shape[1], len(sample.frames)
        seeds = np.random.SeedSequence(sample.meta.seed).generate_state(TRIES + 1, np.uint64) >> 1
        kept, seed = list[int](), int(seeds[0])
        for seed in map(int, seeds[:TRIES]):
            draw = self.draw(seed, sample.meta.size, count)
            first = self._labels(_cropped(sample.labels[:1], draw.box), draw)
            pixels = torch.bincount(first.flatten(), minlength=256)[1 : slots + 1]
            kept = (pixels >= self.min_pixels).nonzero().flatten().tolist()
            if kept:
                break
        if self.max_objects is not None and len(kept) > self.max_objects:
            chosen = np.random.default_rng(int(seeds[-1])).choice(kept, self.max_objects, replace=False)
            kept = sorted(chosen.tolist())
        box = self.draw(seed, sample.meta.size, count).box
        meta = sample.meta._replace(ids=tuple(sample.meta.ids[slot] for slot in kept), seed=seed)
        labels = slot_labels(_cropped(sample.labels, box), [slot + 1 for slot in kept])
        return Sample(_cropped(sample.frames, box), labels, sample.given[:, kept], meta)

    def __call__(self, clip: Clip) -> Clip:
        """A batch of prepared clips as the network sees it: RGB in 0..1, of size ``crop``, on its device."""
        frames, labels = [], []
        for pictures, masks, meta in zip(clip.frames, clip.labels, clip.meta, strict=True):
            draw = self.draw(meta.seed, meta.size, len(pictures))
            _, _, height, width = draw.box
            frames.append(self._frames(pictures[..., :height, :width], draw))
            labels.append(self._labels(masks[..., :height, :width], draw))
        finished = torch.stack(labels)
        # Interpolation on another device may lose an object of a pixel or two that ``prepare`` saw.
        slots = torch.arange(1, clip.valid.shape[1] + 1, device=finished.device, dtype=finished.dtype)
        seen = (finished[:, 0, None].flatten(2) == slots[:, None]).any(2)
        lost = torch.cat([seen.new_zeros(len(seen), 1), clip.valid & ~seen], 1)
        index = torch.where(finished == VOID, 0, finished).long().clamp(max=clip.valid.shape[1])
        gone = lost.gather(1, index.flatten(1)).view_as(finished)
        valid = clip.valid & seen
        return clip._replace(
            frames=torch.stack(frames),
            labels=torch.where(gone, 0, finished),
            given=clip.given & valid[:, None],
            valid=valid,
        )

    def _frames(self, frames: UInt8[Tensor, "T 3 Y X"], draw: Draw) -> Float[Tensor, "T 3 H W"]:
        pictures = interpolate(frames.float() / 255, self.crop, mode="bicubic", antialias=self.antialias).clamp(0, 1)
        if draw.flip:
            pictures = pictures.flip(-1)
        pictures = recolored(pictures, draw.jitter, self.jitter)
        if draw.gray:
            pictures = rgb_to_grayscale(pictures).expand_as(pictures)
        if self._warps:
            pictures = self._warped(pictures, draw, "bicubic", self.fill).clamp(0, 1)
        return recolored(pictures, draw.frame_jitter, self.frame_jitter)

    def _labels(self, labels: UInt8[Tensor, "t Y X"], draw: Draw) -> UInt8[Tensor, "t H W"]:
        """Labels of the clip's first ``t`` frames, resized, flipped and warped like the frames."""
        masks = interpolate(labels[:, None].float(), self.crop, mode="nearest-exact")
        if draw.flip:
            masks = masks.flip(-1)
        if self._warps:
            masks = self._warped(masks, draw, "nearest", torch.zeros(1))
        return masks[:, 0].to(torch.uint8)

    @property
    def _warps(self) -> bool:
        return self.rotation > 0 or self.shear > 0

    def _warped(self, pictures: Tensor, draw: Draw, mode: str, fill: Tensor) -> Tensor:
        count = len(pictures)
        middle = torch.tensor([[(self.crop[1] - 1) / 2, (self.crop[0] - 1) / 2]], dtype=torch.float64)
        matrix = geometry.get_affine_matrix2d(
            translations=torch.zeros(count, 2, dtype=torch.float64),
            center=middle.expand(count, 2),
            scale=torch.ones(count, 2, dtype=torch.float64),
            angle=draw.angles[:count],
            sx=draw.shears[:count].deg2rad(),
        )[:, :2]
        warped: Tensor = geometry.warp_affine(
            pictures,
            matrix.to(pictures),
            self.crop,
            mode=mode,
            padding_mode="fill",
            align_corners=True,
            fill_value=fill.to(pictures),
        )
        return warped


def _cropped(pictures: Integer[Tensor, "..."], box: tuple[int, int, int, int]) -> Integer[Tensor, "..."]:
    top, left, height, width = box
    return pictures[..., top : top + height, left : left + width]
