"""What an object's cells are grouped into (AOC-Net, figure 8)."""

import colorsys
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.analysis.picture import contact_sheet
from vosfw.analysis.watch import first_part, labelled_steps, require_some, watching
from vosfw.data.overlay import overlay
from vosfw.engine.engine import Engine, VideoSource
from vosfw.errors import ConfigError
from vosfw.interfaces import ProxyBuilder, Segmenter
from vosfw.model.matcher.proxy import ProxyMatcher
from vosfw.model.matching_network import MatchingNetwork, one_hot_cells
from vosfw.ops.proxies import Proxies

TURN = 0.381966
"""Of the colour wheel, from a cluster's hue to the next one's: the golden section keeps all apart."""
SHADES = ((0.95, 1.0), (0.55, 1.0), (0.9, 0.6))
"""Saturation and value, in turn."""


class ClusterMap(NamedTuple):
    """One frame, on the grid of the embedding."""

    frame: int
    """Index in the video."""
    labels: UInt8[Tensor, "Y X"]
    """As published: slot + 1, 0 background."""
    owner: UInt8[Tensor, "h w"]
    """Label of each cell, by which it is grouped."""
    counts: tuple[int, ...]
    """Most clusters per object."""
    clusters: tuple[Integer[Tensor, "h w"], ...]
    """Of each count: the cluster of each cell within its object, ``0..count-1``."""


@torch.no_grad()
def cluster_map(
    network: Segmenter[Any],
    video: VideoSource,
    engine: Engine | None = None,
    *,
    frames: Collection[int],
    counts: Sequence[int] | None = None,
    proxies: ProxyBuilder | None = None,
    device: torch.device | str = "cpu",
) -> list[ClusterMap]:
    """The proxy that stands for each cell of each object, in the frame's published masks.

    Of K-Means that is the cell's cluster. A cluster has the number of the nearest one of the frame before among
    ``frames``, so that a part of an object keeps its number as far as it can be recognised.

    Args:
        network: A matching network, such as ``vosfw.load`` returns.
        video: Such as ``DavisDataset(root, "blackswan").video(0)``.
        engine: None takes the one that came with the network. Test-time augmentation is left out.
        frames: Indices of the frames; given ones too.
        counts: Most clusters per object, one or several; None takes the network's own above 1.
        proxies: What groups the cells; None takes the network's own. With ``KMeansProxies()`` any matching network's
            embedding can be looked at.
        device: Where to compute.

    Raises:
        ConfigError: If the network matches no embeddings, or has no proxies and none are given, or none of the frames
            is segmented.
    """
    if not isinstance(network, MatchingNetwork):
        raise ConfigError(
            f"cluster_map needs a network that matches embeddings; this is a {type(network).__name__}. Take model=aoc"
        )
    builder, counts = _choose(network, proxies, counts)
    builder = builder.to(device)
    results: list[ClusterMap] = []
    seen: list[Tensor] = []
    known: dict[tuple[int, int], Tensor] = {}
    with watching(network.embedding.register_forward_hook(lambda module, inputs, result: seen.append(result))):
        for step, labels in labelled_steps(network, video, engine, frames, device):
            embedding = seen[-1][-1:].float()
            seen.clear()
            cells = one_hot_cells(step.masks, (embedding.shape[2], embedding.shape[3]))
            owner = cells[0].max(0).indices
            groups = [_group(embedding, owner, builder(embedding, cells, k), known, k) for k in counts]
            results.append(ClusterMap(step.frame, labels, owner.to(torch.uint8), tuple(counts), tuple(groups)))
    require_some(results, "cluster_map", frames, "segmented")
    return results


def draw_clusters(
    video: VideoSource, results: Sequence[ClusterMap], *, background: bool = False, height: int = 200
) -> UInt8[Tensor, "3 Y X"]:
    """A contact sheet: a row per frame with its masks, then the clusters by their number per object.

    Hues tell clusters apart, white lines objects; a colour has no meaning from one object to another.

    Args:
        video: The frames.
        results: Of ``cluster_map``.
        background: Show the background's clusters too.
        height: Of a tile, in pixels.
    """
    tiles: list[Tensor] = []
    captions: list[str] = []
    for item in results:
        frame = video.frame(item.frame)
        tiles.append(overlay(frame, item.labels.cpu()))
        captions.append(f"frame {item.frame}: masks")
        for count, clusters in zip(item.counts, item.clusters, strict=True):
            tiles.append(_painted(frame, item.owner.cpu(), clusters.cpu(), background))
            captions.append(f"up to {count} clusters per object")
    return contact_sheet(tiles, 1 + len(results[0].counts) if results else 1, height, captions)


def _choose(
    network: nn.Module, proxies: ProxyBuilder | None, counts: Sequence[int] | None
) -> tuple[ProxyBuilder, Sequence[int]]:
    own = [part for part in network.modules() if isinstance(part, ProxyMatcher)]
    builder = proxies or first_part(network, lambda part: isinstance(part, ProxyBuilder))
    if not isinstance(builder, ProxyBuilder):
        raise ConfigError(
            f"cluster_map needs a network with proxies, which this {type(network).__name__} has not. Take model=aoc, "
            "or group its cells all the same: cluster_map(..., proxies=KMeansProxies(), counts=[16])"
        )
    counts = sorted({part.count for part in own if part.count > 1}) if counts is None else counts
    if not counts or min(counts) < 1:
        raise ConfigError(f"cluster_map: counts is {list(counts)}; wanted numbers of clusters from 1, such as [4, 16]")
    return builder, counts


def _group(
    embedding: Float[Tensor, "1 C h w"],
    owner: Integer[Tensor, "h w"],
    proxies: Proxies,
    known: dict[tuple[int, int], Tensor],
    count: int,
) -> Integer[Tensor, "h w"]:
    """Number of each cell's nearest proxy; ``known`` holds the centres by number, and is brought up to date."""
    points, clusters = embedding[0].permute(1, 2, 0), torch.zeros_like(owner)
    for k in owner.unique().tolist():
        own, centers = owner == k, proxies.vectors[0, k][proxies.used[0, k]]
        number = torch.arange(len(centers), device=owner.device)
        if (before := known.get((count, k))) is not None:
            number = _numbers(torch.cdist(centers, before))
        # Numbers that this frame lacks keep the centres that they had.
        table = points.new_full((count, points.shape[2]), torch.inf) if before is None else before.clone()
        known[count, k] = table.index_copy(0, number, centers)
        clusters[own] = number[torch.cdist(points[own], centers).argmin(1)]
    return clusters


def _numbers(distance: Float[Tensor, "n K"]) -> Integer[Tensor, "n"]:
    """A number of its own for each row: the nearest pairs first."""
    left = distance.cpu().nan_to_num(posinf=torch.finfo(torch.float32).max / 2)
    number = torch.zeros(len(left), dtype=torch.long)
    for _ in range(len(left)):
        row, column = divmod(int(left.argmin()), left.shape[1])
        number[row] = column
        left[row], left[:, column] = torch.inf, torch.inf
    return number.to(distance.device)


def _painted(
    frame: UInt8[Tensor, "3 Y X"], owner: UInt8[Tensor, "h w"], clusters: Integer[Tensor, "h w"], background: bool
) -> UInt8[Tensor, "3 Y X"]:
    size = (frame.shape[1], frame.shape[2])
    both = F.interpolate(torch.stack([owner, clusters]).float()[None], size, mode="nearest-exact")[0].long()
    owner, clusters = both[0], both[1]
    count = int(clusters.max()) + 1
    table = torch.tensor([_colour(k, c) for k in range(int(owner.max()) + 1) for c in range(count)])
    colour = table[owner * count + clusters].permute(2, 0, 1) * 255
    grey = frame.float().mean(0, keepdim=True).expand(3, -1, -1)
    painted = torch.lerp(grey, colour, 0.7)
    shown = painted if background else torch.where(owner > 0, painted, grey * 0.6)
    border = (owner.diff(dim=0, append=owner[-1:]) != 0) | (owner.diff(dim=1, append=owner[:, -1:]) != 0)
    return torch.where(border, 255.0, shown).round().to(torch.uint8)


def _colour(label: int, cluster: int) -> tuple[float, float, float]:
    # Objects start at other hues, or the largest clusters of all would be alike.
    saturation, value = SHADES[cluster % len(SHADES)]
    return colorsys.hsv_to_rgb((0.13 * label + TURN * cluster) % 1, saturation, value)
