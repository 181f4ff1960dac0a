"""Similarity of feature cells, and attention over them."""

import math

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

BLOCK = 2**26
"""Most similarities held at once (256 MiB); fewer read long memories more often."""
GROUP = 16
"""Cells whose maximum is compared first in a search for the largest."""


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


def top_cells(similarity: Float[Tensor, "B M N"], k: int) -> tuple[Float[Tensor, "B M _k"], Integer[Tensor, "B M _k"]]:
    """The ``k`` largest entries of each row and their places, in no order.

    The largest entries lie in the groups with the largest maxima: of long rows only ``k`` groups are searched.
    """
    cells = similarity.shape[-1]
    groups = cells // GROUP
    if groups < 2 * k:
        return similarity.topk(k, dim=-1, sorted=False)
    whole = groups * GROUP
    # A group is every ``groups``-th cell, so that maxima are taken of contiguous rows.
    maxima = similarity[..., :whole].unflatten(-1, (GROUP, groups)).amax(-2)
    group = maxima.topk(k, dim=-1, sorted=False).indices
    place = torch.arange(cells, device=similarity.device)
    chosen = (group[..., None] + place[:whole:groups]).flatten(-2)
    chosen = torch.cat([chosen, place[whole:].expand(*chosen.shape[:-1], -1)], dim=-1)
    best, rank = similarity.gather(-1, chosen).topk(k, dim=-1, sorted=False)
    return best, chosen.gather(-1, rank)


def top_k_read(similarity: Float[Tensor, "B M N"], value: Float[Tensor, "B N D"], k: int) -> Float[Tensor, "B M D"]:
    """The same over the ``k`` most similar memory cells alone, whose values are gathered: no dense product.

    With ``k`` cells or fewer in memory it is ``full_read``.
    """
    batch, queries, cells = similarity.shape
    if cells <= k:
        return full_read(similarity, value)
    best, cell = top_cells(similarity, k)
    weight = best.softmax(-1).to(value.dtype)
    row = cell + cells * torch.arange(batch, device=cell.device)[:, None, None]
    read: Tensor = F.embedding_bag(
        row.flatten(0, 1), value.flatten(0, 1), mode="sum", per_sample_weights=weight.flatten(0, 1)
    )
    return read.reshape(batch, queries, -1)


def displacement_prior(
    size: tuple[int, int], frames: int, sigma: float, device: torch.device
) -> tuple[Float[Tensor, "1 M 4"], Float[Tensor, "1 N 4"]]:
    """Two factors whose product is ``-|p_m - p_n|^2 / (2 sigma^2)`` for all pairs of cells (KMN's kernel, centred).

    Args:
        size: Height and width in cells.
        frames: Of the rows ``M`` = frames x cells; the columns ``N`` are the cells of one frame.
        sigma: In cells.
        device: Of the result.
    """
    rows = torch.arange(size[0], device=device, dtype=torch.float32) / sigma
    columns = torch.arange(size[1], device=device, dtype=torch.float32) / sigma
    place = torch.cartesian_prod(rows, columns)
    half, one = -place.square().sum(-1, keepdim=True) / 2, place.new_ones(len(place), 1)
    left, right = torch.cat([place, half, one], 1), torch.cat([place, one, half], 1)
    return left.repeat(frames, 1)[None], right[None]


def l2_read(
    query: Float[Tensor, "B M C"],
    key: Float[Tensor, "B N C"],
    value: Float[Tensor, "B N D"],
    *,
    top_k: int | None,
    prior: tuple[Float[Tensor, "1 M c"], Float[Tensor, "1 n c"]] | None = None,
) -> Float[Tensor, "B M D"]:
    """Read ``value`` by ``l2_similarity``, in blocks of queries, so that memory does not grow with ``M x N``.

    Args:
        query: One row per cell to be filled.
        key: One row per memory cell.
        value: What the memory cells hold.
        top_k: Memory cells that count for a query; None for all.
        prior: Factors of what is added to the similarity of the last ``n`` memory cells.
    """
    rows = max(BLOCK // max(key.shape[0] * key.shape[1], 1), 1)
    reads = []
    for start in range(0, query.shape[1], rows):
        similarity = l2_similarity(query[:, start : start + rows], key)
        if prior is not None:
            left, right = prior
            similarity[..., -right.shape[1] :] += left[:, start : start + rows] @ right.transpose(1, 2)
        reads.append(full_read(similarity, value) if top_k is None else top_k_read(similarity, value, top_k))
    return reads[0] if len(reads) == 1 else torch.cat(reads, dim=1)
