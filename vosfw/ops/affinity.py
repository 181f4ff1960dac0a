"""Similarity of feature cells, and attention over them."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

BLOCK = 2**24
"""Most similarities held at once (64 MiB); fewer read long memories more often."""


def l2_similarity(query: Float[Tensor, "B M C"], key: Float[Tensor, "B N C"]) -> Float[Tensor, "B M N"]:
    """Negative squared distance over the root of the width, without ``|q|^2`` (STCN, section 3.2).

    A softmax over the memory cells cancels the missing term. Computed in float32 also under autocast.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, key = query.float(), key.float()
        scale = 1 / math.sqrt(key.shape[-1])
        norm = key.square().sum(-1)[:, None].mul(-scale)
        return torch.baddbmm(norm, query, key.transpose(1, 2), alpha=2 * scale)


def full_read(similarity: Float[Tensor, "B M N"], value: Float[Tensor, "B N D"]) -> Float[Tensor, "B M D"]:
    """Mean of the values under a softmax over all memory cells; zero without any."""
    with torch.autocast(similarity.device.type, enabled=False):
        return similarity.softmax(-1).to(value.dtype) @ value


def top_k_read(similarity: Float[Tensor, "B M N"], value: Float[Tensor, "B N D"], k: int) -> Float[Tensor, "B M D"]:
    """The same over the ``k`` most similar memory cells alone, whose values are gathered: no dense product.

    With ``k`` cells or fewer in memory it is ``full_read``.
    """
    batch, queries, cells = similarity.shape
    if cells <= k:
        return full_read(similarity, value)
    best, cell = similarity.topk(k, dim=-1, sorted=False)
    weight = best.softmax(-1).to(value.dtype)
    row = cell + cells * torch.arange(batch, device=cell.device)[:, None, None]
    read: Tensor = F.embedding_bag(
        row.flatten(0, 1), value.flatten(0, 1), mode="sum", per_sample_weights=weight.flatten(0, 1)
    )
    return read.reshape(batch, queries, -1)


def l2_read(
    query: Float[Tensor, "B M C"], key: Float[Tensor, "B N C"], value: Float[Tensor, "B N D"], *, top_k: int | None
) -> Float[Tensor, "B M D"]:
    """Read ``value`` by ``l2_similarity``, in blocks of queries, so that memory does not grow with ``M x N``.

    Args:
        query: One row per cell to be filled.
        key: One row per memory cell.
        value: What the memory cells hold.
        top_k: Memory cells that count for a query; None for all.
    """
    rows = max(BLOCK // max(key.shape[0] * key.shape[1], 1), 1)
    reads = []
    for block in query.split(rows, dim=1):
        similarity = l2_similarity(block, key)
        reads.append(full_read(similarity, value) if top_k is None else top_k_read(similarity, value, top_k))
    return reads[0] if len(reads) == 1 else torch.cat(reads, dim=1)
