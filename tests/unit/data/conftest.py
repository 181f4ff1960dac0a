"""Small data sets in the layouts that vosfw reads, generated."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vosfw.data.io import write_mask, write_video

SIZE = (24, 32)


def picture(t: int, size: tuple[int, int] = SIZE) -> torch.Tensor:
    """A frame whose colours tell its number."""
    frame = torch.arange(3 * size[0] * size[1]).remainder(97).reshape(3, *size) + 8 * t
    return frame.clamp(max=255).to(torch.uint8)


def boxes(ids: Sequence[int], t: int, size: tuple[int, int] = SIZE) -> torch.Tensor:
    """One 6x6 box per id, side by side, moving right and down by a pixel a frame."""
    mask = torch.zeros(size, dtype=torch.uint8)
    for place, id_ in enumerate(ids):
        mask[4 + t : 10 + t, 2 + 8 * place + t : 8 + 8 * place + t] = id_
    return mask


def save_frame(path: Path, frame: torch.Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame.permute(1, 2, 0).numpy()).save(path)


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """Two training and two validation sequences of four frames; ``single`` has a mask for frame 0 only."""
    root = tmp_path / "davis"
    for name, ids, masks in (("cat", (1, 2), 4), ("dog", (1,), 4), ("bird", (1, 2, 3), 4), ("single", (1, 2), 1)):
        for t in range(4):
            save_frame(root / "JPEGImages" / "480p" / name / f"{t:05d}.jpg", picture(t))
            if t < masks:
                write_mask(root / "Annotations" / "480p" / name / f"{t:05d}.png", boxes(ids, t))
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
        (root / "ImageSets" / year / "train.txt").write_text("cat\ndog\n")
        (root / "ImageSets" / year / "val.txt").write_text("bird\n\nsingle\n")
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of frames whose second object joins in frame 2, and a video file with a mask in frame 1."""
    root = tmp_path / "folder"
    for t in range(4):
        save_frame(root / "frames" / "walk" / f"frame_{t + 8}.png", picture(t))
        write_mask(root / "masks" / "walk" / f"frame_{t + 8}.png", boxes((5,) if t < 2 else (5, 2), t))
    with write_video(root / "frames" / "run.mp4", 10, SIZE) as writer:
        for t in range(6):
            writer.add(picture(t))
    write_mask(root / "masks" / "run" / "00001.png", boxes((7,), 1))
    return root


@pytest.fixture
def grey(tmp_path: Path) -> Callable[[np.ndarray, str], Path]:
    """Writes an array as PNG and returns its path."""

    def write(values: np.ndarray, name: str = "mask.png") -> Path:
        path = tmp_path / name
        Image.fromarray(values).save(path)
        return path

    return write
