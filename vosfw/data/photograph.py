"""Photographs as textures of the synthetic videos: what procedural patterns lack is the statistics of real surfaces."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from vosfw.data.io import FRAME_SUFFIXES
from vosfw.errors import ConfigError

PACKAGED = "packaged"
"""Stands for the photographs that scikit-image and scikit-learn bring along."""
PACKAGES = {
    "skimage": (
        "data",
        "astronaut brick camera chelsea coffee coins grass gravel hubble_deep_field moon motorcycle_left rocket",
    ),
    "sklearn": ("datasets/images", "china flower"),
}
"""Folder and names of the photographs in each package (sources and licences: docs/models/embedded.md)."""
LONGEST = 640
"""Photographs are reduced to this side, in pixels."""


def photograph_files(source: str) -> tuple[Path, ...]:
    """Pictures of a folder, searched through, or those that well-known packages bring along (``packaged``).

    Raises:
        ConfigError: If there are none.
    """
    if source != PACKAGED:
        own = sorted(path for path in Path(source).expanduser().rglob("*") if path.suffix.lower() in FRAME_SUFFIXES)
        if not own:
            raise ConfigError(
                f"no pictures ({', '.join(FRAME_SUFFIXES)}) in photographs={source!r}. Name their folder."
            )
        return tuple(own)
    found: list[Path] = []
    for package, (folder, names) in PACKAGES.items():
        spec = find_spec(package)
        place = Path(spec.origin).parent / folder if spec is not None and spec.origin else Path()
        found += sorted(path for path in place.glob("*") if path.stem in names.split() and path.suffix != ".txt")
    if not found:
        raise ConfigError(
            "photographs=packaged takes the pictures inside scikit-image and scikit-learn, and neither is installed. "
            "Install them (pip install scikit-image scikit-learn), or name a folder of pictures."
        )
    return tuple(found)


@lru_cache(maxsize=256)
def _pixels(path: Path) -> Float[Tensor, "3 h w"]:
    with Image.open(path) as image:
        image.draft("RGB", (LONGEST, LONGEST))
        image.thumbnail((LONGEST, LONGEST))
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255


def photograph(draw: np.random.Generator, files: Sequence[Path], height: int, width: int) -> Float[Tensor, "3 h w"]:
    """A random part of a random photograph, turned, mirrored and recoloured, RGB in 0..1.

    Args:
        draw: Source of all randomness.
        files: Photographs to choose from.
        height: In pixels.
        width: In pixels.
    """
    picture = _pixels(files[int(draw.integers(len(files)))])
    if draw.uniform() < 0.3:
        picture = picture.transpose(1, 2)
    share = draw.uniform(0.25, 1.0)
    fit = share * min(picture.shape[1] / height, picture.shape[2] / width)
    rows, columns = max(2, int(fit * height)), max(2, int(fit * width))
    top, left = (
        int(draw.integers(have - part + 1)) for have, part in zip(picture.shape[1:], (rows, columns), strict=True)
    )
    part = picture[None, :, top : top + rows, left : left + columns]
    part = interpolate(part, (height, width), mode="bilinear", antialias=rows > height, align_corners=False)[0]
    if draw.uniform() < 0.5:
        part = part.flip(-1)
    if draw.uniform() < 0.5:
        part = part[torch.from_numpy(draw.permutation(3))]
    gain, gamma = draw.uniform(0.6, 1.25, size=3), draw.uniform(0.7, 1.5)
    return (part.pow(gamma) * torch.from_numpy(gain).float()[:, None, None]).clamp(0, 1)
