"""Where memory trusts a mask (RPCM, figure 1b)."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from vosfw.analysis.picture import contact_sheet
from vosfw.data.overlay import overlay
from vosfw.engine.engine import Engine, VideoSource
from vosfw.engine.reliability import entropy
from vosfw.interfaces import Segmenter

HEAT, REFUSED = (255.0, 160.0, 0.0), (255.0, 0.0, 255.0)
"""Colours of the largest entropy, and of pixels that are not trusted."""


class ReliabilityMap(NamedTuple):
    """One frame, at the video's own size."""

    frame: int
    """Index in the video."""
    labels: UInt8[Tensor, "Y X"]
    """As published: slot + 1, 0 background."""
    entropy: Float[Tensor, "Y X"]
    """Of the class probabilities, in nats, or as a share of the largest there can be."""
    trusted: Bool[Tensor, "Y X"]
    """Pixels that would enter memory if the frame were kept."""


def reliability_map(
    network: Segmenter[Any],
    video: VideoSource,
    engine: Engine | None = None,
    *,
    frames: Collection[int] | None = None,
    normalize: bool = False,
    device: torch.device | str = "cpu",
) -> Iterator[ReliabilityMap]:
    """Segment a video and tell for each frame which pixels the engine's reliability filter trusts.

    Args:
        network: Any network, such as ``vosfw.load`` returns (of a ``Predictor``: its ``model``).
        video: Such as ``DavisDataset(root, "blackswan").video(0)``.
        engine: None takes the one that came with the network. Without a filter (``engine/reliability=none``) all is
            trusted; ``engine.replace(reliability=EntropyReliability(0.5))`` tries another.
        frames: Indices of the frames to yield; None for all. The video is run up to the last of them.
        normalize: Divide the entropy by that of equal probabilities of all classes.
        device: Where to compute.
    """
    engine = engine or network.default_engine or Engine()
    geometry = engine.geometry(video.size, engine.augment(network).grid)
    steps = engine.run(network, video, device)
    while True:
        # Gradients are off for the network only, not for who takes the maps.
        with torch.no_grad():
            step = next(steps, None)
            if step is None or (frames is not None and step.frame > max(frames, default=-1)):
                return
            if frames is not None and step.frame not in frames:
                continue
            amount = entropy(step.masks.probs.float(), step.masks.valid, normalize=normalize)
            weight = engine.reliability(step.masks).weight
            maps = engine.fit(torch.cat([amount, weight.to(amount.dtype)], 1), geometry)[0]
            labels = engine.labels(step, geometry)[0]
        yield ReliabilityMap(step.frame, labels, maps[0].clamp_min(0), maps[1] > 0.5)


def draw_reliability(
    video: VideoSource, maps: Iterable[ReliabilityMap], *, columns: int = 4, height: int = 160
) -> UInt8[Tensor, "3 Y X"]:
    """A contact sheet: masks over frames, and below each its entropy in orange, pixels not trusted in magenta.

    Args:
        video: The frames.
        maps: Of some of them.
        columns: Frames per row.
        height: Of a tile, in pixels.
    """
    maps = list(maps)
    largest = max((float(item.entropy.max()) for item in maps), default=0.0) or 1.0
    tiles: list[Tensor] = []
    for start in range(0, len(maps), columns):
        part = maps[start : start + columns]
        blank = [torch.full_like(video.frame(item.frame), 255) for item in part[:1]] * (columns - len(part))
        tiles += [overlay(video.frame(item.frame), item.labels.cpu()) for item in part] + blank
        tiles += [_heat(video.frame(item.frame), item, largest) for item in part] + blank
    return contact_sheet(tiles, columns, height)


def _heat(frame: UInt8[Tensor, "3 Y X"], item: ReliabilityMap, largest: float) -> UInt8[Tensor, "3 Y X"]:
    grey = frame.float().mean(0, keepdim=True).expand(3, -1, -1) * 0.6
    amount = (item.entropy.cpu() / largest).clamp(0, 1)
    heat = torch.lerp(grey, torch.tensor(HEAT)[:, None, None], amount)
    marked = torch.lerp(grey, torch.tensor(REFUSED)[:, None, None], 0.7)
    return torch.where(item.trusted.cpu(), heat, marked).round().to(torch.uint8)
