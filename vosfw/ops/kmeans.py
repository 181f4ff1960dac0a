"""K-Means over the cells of each object (AOC-Net): assignments without gradient, means with one."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from vosfw.errors import ConfigError
from vosfw.ops import kmeans_faiss
from vosfw.ops.kmeans_start import STARTS, score_vectors, square_norm, starting_rows
from vosfw.ops.object_rows import GROUP, ObjectRows, lay_out
from vosfw.ops.proxies import cluster_means

BACKENDS = ("auto", "torch", "faiss")
MANY = 128
"""Clusters from which faiss is the faster one on a CPU, up to twice (docs/benchmarks.md). A GPU would wait for it."""
BLOCK = {"cpu": 2**20, "cuda": 2**26}
"""Similarities of points and centres held at once; on a CPU they stay in the cache."""
ROUNDING = 1e-5
"""A point is not at its centre if the squared distance is more than so much of its squared length."""


class Clustering(NamedTuple):
    """Clusters of each object's points."""

    cluster: Integer[Tensor, "B N"]
    """Of each point, ``0..K-1`` within its object; -1 for points of no object."""
    centers: Float[Tensor, "B O K C"]
    """Means of exactly these clusters, no gradient; for an empty cluster the centre that no point chose."""
    count: Integer[Tensor, "B O K"]  # type: ignore[assignment]  # hides a tuple's method of this name, on purpose
    """Points of each cluster; 0 if it is empty."""
    reseeded: Integer[Tensor, "B O"]
    """How often an empty cluster was given a new centre."""


def kmeans(
    points: Float[Tensor, "B N C"],
    owner: Integer[Tensor, "B N"],
    objects: int,
    clusters: int,
    *,
    iterations: int = 20,
    start: str = "plusplus",
    reseed: bool = True,
    backend: str = "auto",
    seed: int = 0,
) -> Clustering:
    """Cluster the points of every object by themselves; in float32, also under autocast, or in float64 as points are.

    Lloyd's iteration: assign each point to the nearest centre, then replace each centre by the mean of its points. A
    cluster without points keeps its centre or, with ``reseed``, gets the point of the object that is farthest from its
    own centre, as long as another assignment follows and not all points are at their centres. An object with fewer
    points than ``clusters`` has empty clusters; one without points has centres of zero.

    Equal seeds give equal results on one device, whatever torch's global generator did before and whatever else is in
    the batch.

    Args:
        points: Such as the embeddings of a frame's cells.
        owner: Object of each point; any number outside ``0..objects-1`` for a point of no object.
        objects: ``O``, background included.
        clusters: ``K``, for each object.
        iterations: Most assignments; on a CPU it ends earlier where nothing changes any more.
        start: ``plusplus`` draws each centre in proportion to the squared distance to those drawn before, ``random``
            draws distinct points, ``even`` takes row ``floor((j + 0.5) n / K)`` of the object's ``n`` points in order.
        reseed: Give an empty cluster a new centre.
        backend: ``torch`` clusters all objects at once on the points' device. ``faiss`` takes one after the other, on
            the GPU if the points are there and faiss sees it; it fills empty clusters by its own rule: half of a large
            one. ``auto`` is ``faiss`` on a CPU from 128 clusters if ``reseed``, else ``torch``.
        seed: Of the starting centres.

    Raises:
        ConfigError: If an option is out of range, or ``faiss`` is asked not to fill empty clusters.
        UnsupportedError: If ``faiss`` is asked for and not installed.
    """
    check_options(iterations, start, backend, reseed=reseed)
    for name, number in (("clusters", clusters), ("objects", objects)):
        if number < 1:
            raise ConfigError(f"kmeans: {name} is {number}; wanted a whole number from 1")
    chosen = backend
    if backend == "auto":
        chosen = "faiss" if reseed and clusters >= MANY and points.device.type == "cpu" else "torch"
    return Clustering(
        *_kmeans(points.detach(), owner, objects, clusters, iterations, start, reseed, chosen == "faiss", seed)
    )


# One call for torch.compile, which could not follow a search that ends when nothing changes.
@torch.library.custom_op(
    "vosfw::kmeans",
    mutates_args=(),
    schema="(Tensor points, Tensor owner, int objects, int clusters, int iterations, str start, bool reseed, "
    "bool use_faiss, int seed) -> (Tensor, Tensor, Tensor, Tensor)",
)
def _kmeans(
    points: Tensor,
    owner: Tensor,
    objects: int,
    clusters: int,
    iterations: int,
    start: str,
    reseed: bool,
    use_faiss: bool,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch, total, width = points.shape
    with torch.no_grad(), torch.autocast(points.device.type, enabled=False):
        if batch * total == 0:
            zeros = owner.new_zeros(batch, objects, clusters, dtype=torch.int64)
            centers = points.new_zeros(batch, objects, clusters, width, dtype=torch.float32)
            return owner.new_zeros(batch, total, dtype=torch.int64), centers, zeros, zeros.sum(2)
        wide = points if points.dtype == torch.float64 else points.float()
        layout = lay_out(wide, owner, objects, group=max(GROUP, clusters))
        rows = starting_rows(layout, start, clusters, seed)
        if use_faiss:
            found, last, reseeded = kmeans_faiss.lloyd(layout, rows, iterations, seed)
        else:
            found, last, reseeded = _lloyd(layout, rows, iterations, reseed)
        cluster = torch.where(layout.place >= 0, found.gather(1, layout.place.clamp(min=0)), -1)
        means, count = cluster_means(points, owner, cluster, objects, clusters)
        last = torch.where(layout.sizes[..., None, None] > 0, last + layout.shift[:, :, None], 0.0).float()
        return cluster, torch.where(count[..., None] > 0, means, last), count, reseeded


@_kmeans.register_fake
def _shapes(
    points: Tensor, owner: Tensor, objects: int, clusters: int, *options: object
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    each = (points.shape[0], objects, clusters)
    return (
        torch.empty_like(owner, dtype=torch.int64),
        points.new_empty(*each, points.shape[2], dtype=torch.float32),
        owner.new_empty(*each, dtype=torch.int64),
        owner.new_empty(*each[:2], dtype=torch.int64),
    )


def check_options(iterations: int, start: str, backend: str, *, reseed: bool) -> None:
    """Refuse options before there is anything to cluster.

    Raises:
        ConfigError: If one is out of range, or ``faiss`` is asked not to fill empty clusters.
    """
    for name, value, wanted in (("backend", backend, BACKENDS), ("start", start, STARTS)):
        if value not in wanted:
            raise ConfigError(f"kmeans: {name} is {value!r}; wanted {', '.join(wanted[:-1])} or {wanted[-1]}")
    if iterations < 1:
        raise ConfigError(f"kmeans: iterations is {iterations}; wanted a whole number from 1")
    if backend == "faiss" and not reseed:
        raise ConfigError("kmeans: faiss always fills empty clusters; set reseed=true, or backend=torch")


def _lloyd(
    layout: ObjectRows, start: Integer[Tensor, "B O K"], iterations: int, reseed: bool
) -> tuple[Integer[Tensor, "B GS"], Float[Tensor, "B O K C"], Integer[Tensor, "B O"]]:
    """Cluster of each row, centres less the objects' means, and how often an empty cluster got a new one."""
    rows, on_cpu, (clusters, width) = (
        layout.rows.flatten(0, 1),
        start.device.type == "cpu",
        (start.shape[2], layout.width),
    )
    block = max(BLOCK.get(start.device.type, BLOCK["cpu"]) // (clusters * rows.shape[1]), 1)
    scores = rows.new_empty(min(block, len(rows)), clusters, rows.shape[1])
    score, norm = rows.new_empty(rows.shape[:2]), square_norm(layout)
    cluster, before = score.new_empty(2, *score.shape, dtype=torch.int64)
    centers, reseeded = layout.take(start), torch.zeros_like(layout.sizes)
    for step in range(iterations):
        vectors = layout.of_group(score_vectors(layout, centers))
        cluster, before = before, cluster
        for begin in range(0, len(rows), block):
            part = slice(begin, begin + block)
            near = torch.bmm(vectors[part], rows[part].transpose(1, 2), out=scores[: len(rows[part])])
            torch.min(near, 1, out=(score[part], cluster[part]))
        total = layout.sums(cluster.view(layout.real.shape), clusters)
        count = total[..., width]
        centers = torch.where(count[..., None] > 0, total / count.clamp(min=1)[..., None], centers)
        if step == iterations - 1:
            break
        filled = torch.zeros_like(reseeded)
        if reseed and not (on_cpu and bool(((count > 0).sum(2) == layout.sizes.clamp(max=clusters)).all())):
            centers, filled = _fill(layout, centers, count == 0, score + norm, cluster)
            reseeded += filled
        # A look at results costs no waiting on a CPU alone.
        if on_cpu and step and not bool(filled.any()) and torch.equal(cluster, before):
            break
    return cluster.view(layout.point.flatten(1).shape), centers[..., :width], reseeded


def _fill(
    layout: ObjectRows,
    centers: Float[Tensor, "B O K W"],
    empty: Bool[Tensor, "B O K"],
    distance: Float[Tensor, "BG S"],
    cluster: Integer[Tensor, "BG S"],
) -> tuple[Float[Tensor, "B O K W"], Integer[Tensor, "B O"]]:
    """Give the n-th empty cluster of an object its n-th farthest point, if that is not at its centre already."""
    rank = (empty.long().cumsum(2) - 1).clamp(min=0)
    order = layout.ranked(distance.view_as(layout.real))
    row = order.gather(1, (layout.first[..., None] + rank).clamp(max=order.shape[1] - 1).flatten(1)).view_as(rank)
    far = layout.take(row)
    own = cluster.view(len(order), -1).gather(1, row.flatten(1)).view_as(row)
    apart = (far - centers.gather(2, own[..., None].expand_as(far))).square().sum(3)
    fill = empty & (rank < layout.sizes[..., None]) & (apart > ROUNDING * far.square().sum(3))
    return torch.where(fill[..., None], far, centers), fill.sum(2)
