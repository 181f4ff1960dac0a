"""Adaptive object proxies: clusters of an object's embeddings."""

import torch
from jaxtyping import Float
from torch import Tensor

from vosfw.interfaces import ProxyBuilder
from vosfw.ops.kmeans import check_options, kmeans
from vosfw.ops.matching import owner_of_cells
from vosfw.ops.proxies import Proxies, cluster_means


class KMeansProxies(ProxyBuilder):
    """Means of the clusters that K-Means finds among the embeddings of each object's cells (AOC-Net).

    What belongs together is found without gradient; the means carry it, also to the weights of soft masks.

    Args:
        iterations: Most steps of Lloyd's algorithm.
        start: First centres: ``plusplus`` (k-means++), ``random`` cells, or ``even``, cells at even distances in the
            object's raster order.
        reseed: Give an empty cluster a new centre; otherwise it stays empty.
        backend: ``torch`` (all objects at once), ``faiss``, or ``auto``, which chooses by device and size.
        seed: Of the first centres; the same frame always has the same proxies.

    Raises:
        ConfigError: If an option is out of range.
    """

    def __init__(
        self,
        iterations: int = 20,
        start: str = "plusplus",
        *,
        reseed: bool = True,
        backend: str = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_options(iterations, start, backend, reseed=reseed)
        self.iterations = iterations
        self.start = start
        self.reseed = reseed
        self.backend = backend
        self.seed = seed

    def forward(self, embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"], count: int) -> Proxies:
        """See ``ProxyBuilder``."""
        points, owner = embedding.flatten(2).transpose(1, 2), owner_of_cells(masks)
        if count == 1:
            cluster = torch.zeros_like(owner)
        else:
            cluster = kmeans(
                points,
                owner,
                masks.shape[1],
                count,
                iterations=self.iterations,
                start=self.start,
                reseed=self.reseed,
                backend=self.backend,
                seed=self.seed,
            ).cluster
        weights = masks.flatten(2).amax(1)
        vectors, sizes = cluster_means(points, owner, cluster, masks.shape[1], count, weights)
        return Proxies(vectors, sizes > 0)
