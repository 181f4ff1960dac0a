"""Lloyd's iteration by faiss, one object after the other."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vosfw.errors import UnsupportedError
from vosfw.ops.object_rows import ObjectRows

LARGEST_SEED = 2**31 - 1


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise UnsupportedError(
            f"kmeans: backend is faiss, which cannot be imported ({error}); pip install faiss-gpu (Linux) or faiss-cpu,"
            " or set backend=torch"
        ) from error
    return faiss


def lloyd(
    layout: ObjectRows, start: Integer[Tensor, "B O K"], iterations: int, seed: int
) -> tuple[Integer[Tensor, "B GS"], Float[Tensor, "B O K C"], Integer[Tensor, "B O"]]:
    """Cluster of each row, centres less the objects' means, and how often an empty cluster was filled.

    On the GPU of the points if faiss sees it, else on the CPU.

    Raises:
        UnsupportedError: If faiss is not installed.
    """
    faiss, device, width = _faiss(), start.device, layout.width
    centers = layout.take(start)[..., :width].cpu()
    rows = layout.rows.flatten(1, 2)[..., :width].cpu()
    cluster = torch.zeros(rows.shape[:2], dtype=torch.int64)
    filled = torch.zeros(start.shape[:2], dtype=torch.int64)
    resources = faiss.StandardGpuResources() if device.type == "cuda" and faiss.get_num_gpus() > 0 else None
    bounds = zip(layout.first.flatten().tolist(), layout.sizes.flatten().tolist(), strict=True)
    for number, (begin, count) in enumerate(bounds):
        b, o = divmod(number, start.shape[1])
        own = slice(begin, begin + count)
        points = np.ascontiguousarray(rows[b, own].numpy())
        if count <= start.shape[2]:
            # Each point is its own cluster; faiss refuses to begin.
            cluster[b, own] = torch.arange(count)
            centers[b, o, :count] = rows[b, own]
            continue
        index = faiss.IndexFlatL2(width)
        if resources is not None:
            index = faiss.index_cpu_to_gpu(resources, device.index or 0, index)
        # The last of the iterations is the assignment below.
        means = faiss.Kmeans(
            width,
            start.shape[2],
            niter=iterations - 1,
            seed=seed % LARGEST_SEED,
            min_points_per_centroid=1,
            max_points_per_centroid=count,
        )
        means.index = index
        means.train(points, init_centroids=centers[b, o].numpy())
        cluster[b, own] = torch.from_numpy(means.assign(points)[1])
        centers[b, o] = torch.from_numpy(means.centroids)
        filled[b, o] = sum(step["nsplit"] for step in means.iteration_stats)
    return cluster.to(device), centers.to(device), filled.to(device)
