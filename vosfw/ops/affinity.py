"""Similarity of feature cells, and attention over them."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

BLOCK = 2**26
"""Most similarities held at once (256 MiB); fewer read long memories more often."""
DISTRUST = -1e4
"""Added to the similarity of a memory cell that is not to be read; finite, since a softmax needs something."""
GROUP = 16
"""Cells whose maximum is compared first in a search for the largest."""


def l2_similarity(
    query: Float[Tensor, "B M C"], key: Float[Tensor, "B N C"], bias: Float[Tensor, "B N"] | None = None
) -> Float[Tensor, "B M N"]:
    """Negative squared distance over the root of the width, without ``|q|^2`` (STCN, section 3.2), plus a bias.

    A softmax over the memory cells cancels the missing term. Computed in float32 also under autocast.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, key = query.float(), key.float()
        scale = 1 / math.sqrt(key.shape[-1])
        norm = key.square().sum(-1).mul(-scale)
        norm = norm if bias is None else norm + bias
        return torch.baddbmm(norm[:, None], query, key.transpose(1, 2), alpha=2 * scale)


def dot_similarity(
    query: Float[Tensor, "B M C"], key: Float[Tensor, "B N C"], bias: Float[Tensor, "B N"] | None = None
) -> Float[Tensor, "B M N"]:
    """Dot product over the root of the width (STM cycle, section 2), plus a bias; float32 also under autocast."""
    with torch.autocast(query.device.type, enabled=False):
        query, key = query.float().div(math.sqrt(key.shape[-1])), key.float().transpose(1, 2)
        return query @ key if bias is None else torch.baddbmm(bias[:, None], query, key)


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
    place = cell_places(size, device)[None]
    return kernel_factors(place.repeat(1, frames, 1), place, sigma)


def cell_places(size: tuple[int, int], device: torch.device) -> Float[Tensor, "M 2"]:
    """Row and column of every cell of a grid, row by row."""
    rows, columns = (torch.arange(side, device=device, dtype=torch.float32) for side in size)
    return torch.cartesian_prod(rows, columns)


def kernel_factors(
    one: Float[Tensor, "b M 2"], other: Float[Tensor, "a N 2"], sigma: float
) -> tuple[Float[Tensor, "b M 4"], Float[Tensor, "a N 4"]]:
    """Two factors whose product is ``-|one_m - other_n|^2 / (2 sigma^2)`` for all pairs of places."""
    one, other = one / sigma, other / sigma
    left = torch.cat([one, -one.square().sum(-1, keepdim=True) / 2, torch.ones_like(one[..., :1])], -1)
    right = torch.cat([other, torch.ones_like(other[..., :1]), -other.square().sum(-1, keepdim=True) / 2], -1)
    return left, right


def soft_argmax(
    query: Float[Tensor, "B M C"], key: Float[Tensor, "B N C"], place: Float[Tensor, "M 2"], sharpness: float
) -> Float[Tensor, "B N 2"]:
    """Where each memory cell is found in the frame that is read: the mean place under a softmax over its cells.

    Args:
        query: One row per cell of the frame.
        key: One row per memory cell.
        place: Of the frame's cells.
        sharpness: Factor of ``dot_similarity`` in the softmax; infinity takes the most similar cell.
    """
    rows = max(BLOCK // max(query.shape[0] * query.shape[1], 1), 1)
    found = []
    for start in range(0, key.shape[1], rows):
        similarity = dot_similarity(key[:, start : start + rows], query)
        if math.isinf(sharpness):
            found.append(place[similarity.argmax(-1)])
        else:
            with torch.autocast(place.device.type, enabled=False):
                found.append((similarity * sharpness).softmax(-1) @ place)
    return found[0] if len(found) == 1 else torch.cat(found, dim=1)


def attention_read(
    query: Float[Tensor, "B M C"],
    key: Float[Tensor, "B N C"],
    value: Float[Tensor, "B N D"],
    *,
    similarity: Callable[[Tensor, Tensor, Tensor | None], Tensor] = l2_similarity,
    bias: Float[Tensor, "B N"] | None = None,
    top_k: int | None,
    prior: tuple[Float[Tensor, "b M c"], Float[Tensor, "a n c"]] | None = None,
) -> Float[Tensor, "B M D"]:
    """Read ``value`` by similarity, in blocks of queries, so that memory does not grow with ``M x N``.

    Args:
        query: One row per cell to be filled.
        key: One row per memory cell.
        value: What the memory cells hold.
        similarity: ``l2_similarity`` or ``dot_similarity``.
        bias: Added to the similarities of each memory cell; None for nothing.
        top_k: Memory cells that count for a query; None for all.
        prior: Factors of what is added to the similarity of the last ``n`` memory cells.
    """
    rows = max(BLOCK // max(key.shape[0] * key.shape[1], 1), 1)
    reads = []
    for start in range(0, query.shape[1], rows):
        near = similarity(query[:, start : start + rows], key, bias)
        if prior is not None:
            left, right = prior
            # Squares of distances are small differences of large products.
            with torch.autocast(near.device.type, enabled=False):
                near[..., -right.shape[1] :] += left[:, start : start + rows] @ right.transpose(1, 2)
        reads.append(full_read(near, value) if top_k is None else top_k_read(near, value, top_k))
    return reads[0] if len(reads) == 1 else torch.cat(reads, dim=1)
