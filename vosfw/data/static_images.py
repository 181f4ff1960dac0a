"""Images with masks, turned into clips: STCN's stage 0, PCVOS's first stage."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from vosfw.data.dataset import ClipRequest, Sample, VideoDataset
from vosfw.data.index import data_root, subfolder
from vosfw.data.io import FRAME_SUFFIXES, frame_size, read_frame, read_mask
from vosfw.data.video import Video, present_ids, slot_labels
from vosfw.data.warp import Warp, draw_grids, warped
from vosfw.errors import ConfigError, DatasetError
from vosfw.types import ClipMeta

FRAMES = 64
"""Length that an image pretends to have, so that any sampler can ask for clips of it."""


class Still(NamedTuple):
    """One image and how to get at its mask."""

    name: str
    path: Path
    mask: Path | tuple[dict[str, Any], ...]
    """A file, or the annotations of COCO."""

    def ids(self) -> UInt8[Tensor, "Y X"]:
        """Object ids; a mask without a palette is binary, everything from 128 on being object 1."""
        if isinstance(self.mask, tuple):
            return rasterised(self.mask, frame_size(self.path))
        with Image.open(self.mask) as image:
            plain = image.mode in ("L", "1")
        if not plain:
            return read_mask(self.mask, frame_size(self.path))
        with Image.open(self.mask) as image:
            return torch.from_numpy((np.array(image.convert("L")) >= 128).astype(np.uint8))


class StaticImageDataset(VideoDataset):
    """Clips made of single images: each frame is the image, warped at random; objects keep their slots.

    STCN, section 4 (stage 0): images of salient objects, of which the first frame's masks are given. Sampling asks for
    clips as of videos; which frames it names is no matter.

    Args:
        root: Folder with pictures and masks side by side (``a.jpg``, ``a.png``), searched through; or ``images`` and
            ``masks`` with files of the same names. For COCO the folder of pictures.
        annotations: COCO's ``instances_*.json``; its polygons and run lengths become masks.
        short_side: Images are reduced to it before they are warped, as their masks are.
        warp: Ranges of the warps.
        paste: Probability that an object of another image is pasted in, with warps of its own.
        max_objects: Most objects of an image, at random (COCO has many).
        split: Share of the images: ``train`` all but every tenth, ``val`` every tenth, ``all``.

    Raises:
        ConfigError: If an option has an illegal value.
        DatasetError: If there are no images, or masks or annotations are missing or damaged.
    """

    def __init__(
        self,
        root: Path | str | None,
        annotations: Path | str | None = None,
        short_side: int = 384,
        warp: Warp | Mapping[str, Any] | None = None,
        paste: float | int = 0.0,
        max_objects: int = 3,
        split: str = "all",
    ) -> None:
        if not 0 <= paste <= 1 or short_side < 16 or max_objects < 1:
            raise ConfigError(
                f"wanted paste in 0..1, short_side >= 16, max_objects >= 1; got {paste}, {short_side}, {max_objects}"
            )
        if split not in ("train", "val", "all"):
            raise ConfigError(f"split {split!r} of static images; wanted train, val or all")
        folder = data_root(root)
        stills = _pairs(folder) if annotations is None else _coco(folder, Path(annotations).expanduser())
        if split != "all":
            stills = [still for i, still in enumerate(stills) if (i % 10 == 0) == (split == "val")]
        super().__init__([still.name for still in stills])
        self.stills, self.short_side, self.paste, self.max_objects = stills, short_side, paste, max_objects
        if not isinstance(warp, Warp):
            options = {str(name): value for name, value in (warp or {}).items()}
            warp = Warp(**options | {"scale": tuple(options.get("scale", Warp().scale))})
        self.warp = warp.check()

    @property
    def lengths(self) -> list[int]:
        """Frames that each image pretends to have."""
        return [FRAMES] * len(self)

    @property
    def annotated(self) -> list[range]:
        """Every frame has a mask."""
        return [range(FRAMES)] * len(self)

    def video(self, index: int) -> Video:
        """Not possible: frames belong to a request, not to an image."""
        raise DatasetError("static images are for training; validate and test on videos (data.val, data.test)")

    def __getitem__(self, request: ClipRequest) -> Sample:
        """A clip of one image: a pure function of the request."""
        draw = np.random.default_rng(request.seed)
        still, count = self.stills[request.video], len(request.frames)
        frames, labels = self._clip(draw, still, count)
        if draw.uniform() < self.paste:
            other = self.stills[int(draw.integers(len(self.stills)))]
            above, cover = self._clip(draw, other, count, (frames.shape[-2], frames.shape[-1]))
            mask = cover > 0
            frames = torch.where(mask[:, None], above, frames)
            labels = torch.where(mask, int(labels.max()) + 1, labels)
        ids = present_ids(labels[0])
        if len(ids) > self.max_objects:
            ids = sorted(draw.choice(ids, self.max_objects, replace=False).tolist())
        given = torch.zeros(count, len(ids), dtype=torch.bool)
        given[: request.given] = True
        names = tuple(f"{i:05d}" for i in range(count))
        size = (frames.shape[-2], frames.shape[-1])
        meta = ClipMeta(still.name, names, tuple(ids), size, request.seed)
        return Sample(frames, slot_labels(labels, ids), given, meta)

    def _clip(
        self, draw: np.random.Generator, still: Still, count: int, size: tuple[int, int] | None = None
    ) -> tuple[UInt8[Tensor, "T 3 Y X"], UInt8[Tensor, "T Y X"]]:
        """Warped frames and ids of one image; ``size`` instead of the image's own for one that is pasted."""
        frame, ids = read_frame(still.path), still.ids()
        ids = slot_labels(ids, present_ids(ids))
        if ids.shape != frame.shape[1:]:
            raise DatasetError(
                f"the mask of '{still.path}' is {tuple(ids.shape)}, the picture {tuple(frame.shape[1:])}"
            )
        if size is None:
            factor = min(1.0, self.short_side / min(ids.shape))
            size = (round(factor * ids.shape[0]), round(factor * ids.shape[1]))
        picture = torch.nn.functional.interpolate(frame[None].float(), size, mode="bilinear", antialias=True)[0]
        ids = torch.nn.functional.interpolate(ids[None, None].float(), size, mode="nearest-exact")[0, 0].to(torch.uint8)
        grids = draw_grids(draw, self.warp, size, count)
        frames = warped(picture, grids, "bicubic", "reflection").round().clamp(0, 255).to(torch.uint8)
        present = present_ids(ids)
        layers = torch.stack([(ids == id_).float() for id_ in present]) if present else ids.new_zeros(1, *size).float()
        share, layer = warped(layers, grids).max(1)
        table = torch.tensor(present or [0], dtype=torch.uint8)
        return frames, torch.where(share > 0.5, table[layer], 0).to(torch.uint8)


def _pairs(root: Path) -> list[Still]:
    """Pictures that have a mask: in folders of their own, or beside them."""
    if not root.is_dir():
        raise DatasetError(f"No folder '{root}'. Set data.root to the folder of the images.")
    if (root / "images").is_dir():
        masks = {
            path.relative_to(root / "masks").with_suffix(""): path for path in subfolder(root, "masks").rglob("*.png")
        }
        pictures = {path.relative_to(root / "images").with_suffix(""): path for path in _pictures(root / "images")}
    else:
        masks = {path.relative_to(root).with_suffix(""): path for path in root.rglob("*.png")}
        pictures = {p.relative_to(root).with_suffix(""): p for p in _pictures(root) if p.suffix.lower() != ".png"}
    if not pictures:
        raise DatasetError(
            f"No pictures in '{root}'; wanted a.jpg with its mask a.png, or the folders images and masks."
        )
    if missing := [str(path) for name, path in pictures.items() if name not in masks]:
        raise DatasetError(
            f"{len(missing)} of {len(pictures)} pictures in '{root}' have no mask, such as '{missing[0]}'. Add a PNG "
            "of the same name, or take the picture out."
        )
    return [Still(name.as_posix(), path, masks[name]) for name, path in sorted(pictures.items())]


def _pictures(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix.lower() in FRAME_SUFFIXES]


def _coco(root: Path, path: Path) -> list[Still]:
    """Images of COCO that have an instance."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in content["annotations"]:
            if not annotation.get("iscrowd"):
                found[annotation["image_id"]].append(annotation)
        return [
            Still(Path(image["file_name"]).stem, root / image["file_name"], tuple(found[image["id"]]))
            for image in content["images"]
            if image["id"] in found
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"'{path}' cannot be read as COCO's instances ({type(error).__name__}: {error}). "
            "Name a file such as instances_train2017.json."
        ) from error


def rasterised(annotations: Sequence[dict[str, Any]], size: tuple[int, int]) -> UInt8[Tensor, "Y X"]:
    """Ids 1, 2, ... of the instances of one image, the larger ones below.

    Args:
        annotations: Of COCO: ``segmentation`` as polygons, or as run lengths (``counts`` as a list of numbers).
        size: Height and width in pixels.
    """
    ids = np.zeros(size, np.uint8)
    ordered = sorted(annotations, key=lambda annotation: -float(annotation.get("area", 0)))[:254]
    for id_, annotation in enumerate(ordered, 1):
        outline = annotation["segmentation"]
        if isinstance(outline, dict):
            values = np.repeat(np.arange(len(outline["counts"])) % 2, outline["counts"])
            ids[values.reshape(size[::-1]).T == 1] = id_
            continue
        picture = Image.new("L", size[::-1])
        for polygon in outline:
            ImageDraw.Draw(picture).polygon([float(value) for value in polygon], fill=1)
        ids[np.array(picture) == 1] = id_
    return torch.from_numpy(ids)
