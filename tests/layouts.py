"""Small data sets in the layouts that vosfw reads, generated."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from vosfw.data.io import write_mask, write_video
from vosfw.data.synthetic import SyntheticDataset

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


def make_davis(root: Path, frames: int = 4) -> Path:
    """Two training and two validation sequences; ``single`` has a mask for frame 0 only."""
    masked = {"cat": (1, 2), "dog": (1,), "bird": (1, 2, 3), "single": (1, 2)}
    for name, ids in masked.items():
        masks = 1 if name == "single" else frames
        for t in range(frames):
            save_frame(root / "JPEGImages" / "480p" / name / f"{t:05d}.jpg", picture(t))
            if t < masks:
                write_mask(root / "Annotations" / "480p" / name / f"{t:05d}.png", boxes(ids, t))
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
        (root / "ImageSets" / year / "train.txt").write_text("cat\ndog\n")
        (root / "ImageSets" / year / "val.txt").write_text("bird\n\nsingle\n")
    return root


def make_folder(root: Path) -> Path:
    """A folder of frames whose second object joins in frame 2, and a video file with a mask in frame 1."""
    for t in range(4):
        save_frame(root / "frames" / "walk" / f"frame_{t + 8}.png", picture(t))
        write_mask(root / "masks" / "walk" / f"frame_{t + 8}.png", boxes((5,) if t < 2 else (5, 2), t))
    with write_video(root / "frames" / "run.mp4", 10, SIZE) as writer:
        for t in range(6):
            writer.add(picture(t))
    write_mask(root / "masks" / "run" / "00001.png", boxes((7,), 1))
    return root


def make_youtube(root: Path, masks: int = 4) -> Path:
    """A training video annotated every fifth frame, and a validation video whose second object joins in frame 10."""
    for t in range(0, 5 * masks, 5):
        save_frame(root / "train" / "JPEGImages" / "a" / f"{t:05d}.jpg", picture(t))
        write_mask(root / "train" / "Annotations" / "a" / f"{t:05d}.png", boxes((1, 2), t // 5))
        save_frame(root / "valid" / "JPEGImages" / "b" / f"{t:05d}.jpg", picture(t))
    for t in range(5 * masks):
        save_frame(root / "valid_all_frames" / "JPEGImages" / "b" / f"{t:05d}.jpg", picture(t))
    write_mask(root / "valid" / "Annotations" / "b" / "00000.png", boxes((3,), 0))
    write_mask(root / "valid" / "Annotations" / "b" / "00010.png", boxes((5,), 2))
    for split, name, objects in (("train", "a", {"1": "cat", "2": "dog"}), ("valid", "b", {"3": "cat", "5": "ape"})):
        videos = {name: {"objects": {id_: {"category": kind, "frames": []} for id_, kind in objects.items()}}}
        (root / split / "meta.json").write_text(json.dumps({"videos": videos}))
    return root


def make_static_images(root: Path) -> Path:
    """Two pictures with palette masks in folders of their own."""
    for name, ids in (("a", (1, 2)), ("b", (1,))):
        save_frame(root / "images" / f"{name}.jpg", picture(0))
        write_mask(root / "masks" / f"{name}.png", boxes(ids, 0))
    return root


def make_own(root: Path, videos: int = 4, frames: int = 6, every: int = 2, size: tuple[int, int] = (32, 48)) -> Path:
    """Generated videos as a user's own: pictures in ``frames``, a mask for every second one in ``masks``."""
    dataset = SyntheticDataset("val", videos, frames, size, objects=(1, 2))
    for index in range(videos):
        video = dataset.video(index)
        for t in range(frames):
            save_frame(root / "frames" / f"v{index}" / f"{t:05d}.png", video.frame(t))
            if t % every == 0:
                write_mask(root / "masks" / f"v{index}" / f"{t:05d}.png", video.id_map(t))
    return root
