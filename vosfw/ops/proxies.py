"""Objects as mean embeddings, one or several of each."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

from vosfw.ops.matching import FAR

EPSILON = 1e-5
BLOCK = {"cpu": 2**18, "cuda": 2**26}
"""Distances that are held at once."""


class ObjectSums(NamedTuple):
    """Sums over the cells of a frame; those of several frames are added up before means are taken."""

    inside: Float[Tensor, "B O C"]
    """Of the embeddings of each object's cells."""
    area: Float[Tensor, "B O"]
    """Number of its cells."""
    total: Float[Tensor, "B C"]
    """Of all embeddings."""
    cells: Float[Tensor, "B"]
    """Number of all cells."""


class Proxies(NamedTuple):
    """A few vectors that stand for the cells of each object of a frame."""

    vectors: Float[Tensor, "B O P C"]
    used: Bool[Tensor, "B O P"]
    """False where an object has fewer than ``P``."""


def object_sums(embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]) -> ObjectSums:
    """Sums of one frame, weighted by the masks; cells without an object count for no object, but among all cells."""
    flat, own = embedding.flatten(2).float(), masks.flatten(2).float()
    cells = own.new_full((own.shape[0],), float(own.shape[2]))
    return ObjectSums(own @ flat.transpose(1, 2), own.sum(2), flat.sum(2), cells)


def descriptor(sums: ObjectSums) -> Float[Tensor, "B O D"]:
    """Mean embedding of each object and mean of everything else, ``D = 2 C`` (CFBI, section 3.4); zero if absent."""
    inside = sums.inside / (sums.area + EPSILON)[..., None]
    outside = (sums.cells[:, None] - sums.area + EPSILON)[..., None]
    return torch.cat([inside, (sums.total[:, None] - sums.inside) / outside], 2)


def cluster_means(
    points: Float[Tensor, "B N C"],
    owner: Integer[Tensor, "B N"],
    cluster: Integer[Tensor, "B N"],
    objects: int,
    clusters: int,
    weights: Float[Tensor, "B N"] | None = None,
) -> tuple[Float[Tensor, "B O K C"], Integer[Tensor, "B O K"]]:
    """Mean of the points of each cluster, differentiable and in float32, and their number; zero where there are none.

    Points are sorted and summed in order, so that the result is the same each time on a GPU as well.

    Args:
        points: To be averaged.
        owner: Object of each point; those outside ``0..objects-1`` count nowhere.
        cluster: Of each point within its object; those outside ``0..clusters-1`` count nowhere.
        objects: ``O``.
        clusters: ``K``.
        weights: Of the points in their means, above 0 where they count; None for equal ones.
    """
    (batch, _, width), each = points.shape, objects * clusters
    inside = (owner >= 0) & (owner < objects) & (cluster >= 0) & (cluster < clusters)
    first = torch.arange(batch, device=owner.device)[:, None] * each
    place, order = torch.where(inside, first + owner * clusters + cluster, batch * each).flatten().sort(stable=True)
    begin = torch.searchsorted(place, torch.arange(batch * each + 1, device=place.device))
    with torch.autocast(points.device.type, enabled=False):
        rows = points.float().flatten(0, 1)
        if weights is not None:
            weight = weights.float().reshape(-1, 1)
            rows = torch.cat([rows * weight, weight], 1)
        means = F.embedding_bag(order, rows, begin, mode="mean")
        if weights is not None:
            means = means[:, :-1] / means[:, -1:].clamp_min(torch.finfo(means.dtype).tiny)
    shape = (batch, objects, clusters)
    return means[:-1].reshape(*shape, width), begin.diff().reshape(shape)


def proxy_distance(
    query: Float[Tensor, "B C h w"], frames: Sequence[Proxies], objects: int
) -> Float[Tensor, "B O h w"]:
    """Squared distance of each cell to the nearest proxy of each object; ``FAR`` if it has none.

    Args:
        query: Embedding of the frame.
        frames: Proxies of frames to compare with, of ``objects`` or fewer; may be none.
        objects: ``O``, background included.
    """
    flat = query.flatten(2)
    if not frames:
        return query.new_full((query.shape[0], objects, *query.shape[2:]), FAR)
    rows = torch.cat([_rows(proxies, objects) for proxies in frames], 2)
    columns = F.pad(flat, (0, 0, 0, 1), value=1.0)
    step = max(BLOCK.get(query.device.type, BLOCK["cpu"]) // (rows.shape[1] * rows.shape[2]), 1)
    shape = (*rows.shape[1:3], -1)
    near = [(rows.flatten(1, 2) @ part).unflatten(1, shape[:2]).amin(2) for part in columns.split(step, 2)]
    distance = torch.cat(near, 2) + flat.square().sum(1, keepdim=True)
    return distance.clamp(max=FAR).reshape(*distance.shape[:2], *query.shape[-2:])


def _rows(proxies: Proxies, objects: int) -> Float[Tensor, "B O P D"]:
    """``-2 p`` and ``|p|^2``, so ``D = C + 1``; far where there is no proxy."""
    vectors, used = proxies
    norm = torch.where(used, vectors.square().sum(-1), FAR)[..., None]
    rows = torch.cat([-2 * vectors * used[..., None], norm], 3)
    lacking = rows.new_zeros(rows.shape[0], objects - rows.shape[1], *rows.shape[2:])
    lacking[..., -1] = FAR
    return torch.cat([rows, lacking], 1)
