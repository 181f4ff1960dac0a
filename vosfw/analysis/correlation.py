"""What each level of matching says (AOC-Net, figure 3c)."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vosfw.analysis.picture import contact_sheet, heat, with_heat_legend
from vosfw.analysis.watch import first_part, labelled_steps, own_mask, require_some, watching
from vosfw.engine.engine import Engine, VideoSource
from vosfw.errors import ConfigError
from vosfw.interfaces import Matcher, Segmenter

KINDS = ("references", "previous")
"""Beginnings of the names of the maps that are drawn, the first of each level."""


class CorrelationMap(NamedTuple):
    """One frame; background first, then the objects that are in use."""

    frame: int
    """Index in the video."""
    labels: UInt8[Tensor, "Y X"]
    """As published: slot + 1, 0 background."""
    classes: tuple[int, ...]
    """Label of each row of the maps: 0 for the background, slot + 1."""
    names: tuple[str, ...]
    """Of the maps: ``16: references`` is of the level of 16 proxies; see ``Matcher.map_names``."""
    maps: Float[Tensor, "O M h w"]
    """As the matcher returns them: the smaller, the more alike; 1 is far or absent."""


@torch.no_grad()
def correlation_map(
    network: Segmenter[Any],
    video: VideoSource,
    engine: Engine | None = None,
    *,
    frames: Collection[int],
    device: torch.device | str = "cpu",
) -> list[CorrelationMap]:
    """The matching maps of every object, of all levels, with references and with the frame before.

    Args:
        network: A network with a matcher, such as ``vosfw.load`` returns.
        video: Such as ``DavisDataset(root, "blackswan").video(0)``.
        engine: None takes the one that came with the network. Test-time augmentation is left out.
        frames: Indices of the frames. Those that are not predicted have no maps.
        device: Where to compute.

    Raises:
        ConfigError: If the network has no matcher, or none of the frames is predicted.
    """
    matcher = first_part(network, lambda part: isinstance(part, Matcher))
    if not isinstance(matcher, Matcher):
        raise ConfigError(
            f"correlation_map needs a network with a matcher, which this {type(network).__name__} has not. "
            "Take model=aoc, rpcm or cfbi"
        )
    names = matcher.map_names or tuple(str(i) for i in range(matcher.out_channels))
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...], result: Tensor) -> None:
        # Objects that join are matched once more: what was seen last is of the frame's own prediction.
        seen[:] = [(inputs[3][0], result[0])]

    results: list[CorrelationMap] = []
    with watching(matcher.register_forward_hook(keep)):
        for step, labels in labelled_steps(network, video, engine, frames, device):
            if step.predicted:
                used, maps = seen[-1]
                classes = tuple(used.nonzero().flatten().tolist())
                results.append(CorrelationMap(step.frame, labels, classes, names, maps[used].float()))
    require_some(results, "correlation_map", frames)
    return results


def draw_correlation(
    video: VideoSource, results: Sequence[CorrelationMap], *, names: Sequence[str] | None = None, height: int = 140
) -> UInt8[Tensor, "3 Y X"]:
    """A contact sheet: a row per frame and class (background first), with its mask over the frame, then the maps.

    Bright is alike. Each map has a scale of its own over all objects of a frame: its least and largest value.

    Args:
        video: The frames.
        results: Of ``correlation_map``.
        names: Maps to be drawn; None takes of each level the first with references and the first with the frame before.
        height: Of a tile, in pixels.

    Raises:
        ConfigError: If there is no map of a name.
    """
    tiles: list[Tensor] = []
    captions: list[str] = []
    columns: list[str] = []
    for item in results:
        columns = _columns(item.names) if names is None else list(names)
        if lacking := sorted(set(columns) - set(item.names)):
            raise ConfigError(f"draw_correlation: no map {', '.join(lacking)}; wanted some of {', '.join(item.names)}")
        chosen = item.maps[:, [item.names.index(name) for name in columns]].cpu()
        least, largest = chosen.amin((0, 2, 3)), chosen.amax((0, 2, 3))
        for row, label in enumerate(item.classes):
            tiles.append(own_mask(video, item.frame, item.labels, label))
            captions.append(f"frame {item.frame}: " + (f"object {label}" if label else "background"))
            for column, name in enumerate(columns):
                span = (largest[column] - least[column]).clamp_min(1e-6)
                tiles.append(heat((largest[column] - chosen[row, column]) / span))
                captions.append(f"{name} ({least[column]:.2f} to {largest[column]:.2f})")
    return with_heat_legend(contact_sheet(tiles, 1 + len(columns), height, captions), "far ", "alike")


def _columns(names: Sequence[str]) -> list[str]:
    """Of each level the first map of each kind; all if none has such a name."""
    found: dict[tuple[str, str], str] = {}
    for name in names:
        level, _, what = name.rpartition(": ")
        for kind in KINDS:
            if what.startswith(kind):
                found.setdefault((level, kind), name)
    return list(found.values()) or list(names)
