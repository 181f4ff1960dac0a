"""Pictures of perturbations, and of what they cost."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vosfw.analysis.picture import contact_sheet
from vosfw.config import choices, choose, instantiate
from vosfw.data.files import replacing
from vosfw.data.overlay import overlay
from vosfw.data.perturbation.base import Perturbation
from vosfw.data.video import Video
from vosfw.metrics.robustness import Robustness

GROUP = "data/perturbation"


def draw_perturbations(
    video: Video,
    names: Sequence[str] | None = None,
    severities: Sequence[int] = (1, 3, 5),
    frame: int | None = None,
    columns: int | None = None,
    height: int = 160,
) -> UInt8[Tensor, "3 Y X"]:
    """A contact sheet of one frame, with its given mask if it has one, as each perturbation leaves it.

    Args:
        video: Unperturbed.
        names: Perturbations, as files of ``configs/data/perturbation``; all of them if left out.
        severities: Of each, side by side.
        frame: Index in the video; the first one with a given mask if left out. Perturbations of time show in later
            frames only.
        columns: Tiles per row; one row per perturbation if left out.
        height: Of a tile, in pixels.

    Raises:
        ConfigError: If a name or severity is unknown.
    """
    kinds = [name for name in choices(GROUP) if name != "none"] if names is None else list(names)
    index = min(video.given, default=0) if frame is None else frame
    tiles = []
    for name in kinds:
        for severity in severities:
            perturbation: Perturbation = instantiate(choose(GROUP, {"name": name, "severity": severity}))
            tiles.append(_labelled(_tile(perturbation.apply(video), index), f"{name} {severity}", height))
    return contact_sheet(tiles, columns or len(severities), height)


def _tile(video: Video, index: int) -> UInt8[Tensor, "3 Y X"]:
    frame = video.frame(index)
    if frame.is_floating_point():
        frame = (frame * 255).round().clamp(0, 255).to(torch.uint8)
    return overlay(frame, video.given_mask(index), opacity=0.35) if index in video.given else frame


def _labelled(tile: UInt8[Tensor, "3 Y X"], text: str, height: int) -> UInt8[Tensor, "3 Y X"]:
    """Text in the corner, in a size that can be read when the tile is shrunk to ``height``."""
    image = Image.fromarray(tile.permute(1, 2, 0).contiguous().numpy())
    size = max(round(14 * tile.shape[1] / height), 8)
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(image)
    box = pen.textbbox((size // 3, size // 4), text, font=font)
    pen.rectangle((0, 0, box[2] + size // 3, box[3] + size // 4), fill=(0, 0, 0))
    pen.text((size // 3, size // 4), text, font=font, fill=(255, 255, 255))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def plot_robustness(found: Robustness, path: Path | str, title: str = "") -> None:
    """A picture (PNG, PDF or SVG) of J&F on every set, and of what is lost against the clean one, with intervals.

    Intervals of J&F tell how videos differ; those of the loss, which is of pairs, what the perturbation does.

    Raises:
        OutputError: If the file cannot be written.
    """
    from matplotlib.figure import Figure

    names = list(found.perturbed)
    figure = Figure(figsize=(9, 1.8 + 0.3 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, rows, color in ((left, found.perturbed, "tab:blue"), (right, found.drops, "tab:orange")):
        values = 100 * np.array([rows[name] for name in names])
        errors = np.abs(values[:, 1:].T - values[:, 0])
        axes.errorbar(values[:, 0], np.arange(len(names)), xerr=errors, fmt="o", ms=4, capsize=3, color=color)
        axes.grid(axis="x", alpha=0.3)
    left.set_yticks(np.arange(len(names)), names)
    left.invert_yaxis()
    left.axvline(100 * found.clean.value, color="tab:green", label=f"clean: {100 * found.clean.value:.1f}")
    left.axvline(100 * found.mean.value, color="tab:red", ls="--", label=f"perturbed: {100 * found.mean.value:.1f}")
    right.axvline(0, color="tab:green")
    right.axvline(100 * found.loss.value, color="tab:red", ls="--", label=f"mean loss: {100 * found.loss.value:.1f}")
    left.set_xlabel("J&F in percent")
    right.set_xlabel("loss against clean")
    note = f"{found.level:.0%} intervals over {found.sequences} sequences"
    figure.legend(loc="outside upper center", title=f"{title}, {note}" if title else note, ncols=3, frameon=False)
    with replacing(Path(path)) as draft:
        figure.savefig(draft, dpi=150, format=Path(path).suffix[1:] or None)
