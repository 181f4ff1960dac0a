"""Nearest reference cells of each object: global matching, and local matching in windows (CFBI, section 3.2)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

FAR = 5e4
"""Squared distance to an object that has no cell: its sigmoid is exactly 1 in float32, and it fits into float16."""
GROUP = 64
"""Rows of one object that lie together; their minimum is taken before objects are told apart."""
BLOCK = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of a block of distances: on a CPU it stays in the cache."""


class SortedCells(NamedTuple):
    """The cells of a frame, sorted by object, in groups that belong to one object; rows that fill a group are far."""

    rows: Float[Tensor, "B R C+1"]
    """``-2 r`` and ``|r|^2``: times ``(q, 1)`` it is the squared distance without ``|q|^2``."""
    owner: Integer[Tensor, "B R/GROUP"]
    """Object of each group of rows; a number above all objects for what belongs to none."""


def sort_cells(embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]) -> SortedCells:
    """Lay out a reference frame for ``global_distance``; computed once, when the frame is memorised.

    Args:
        embedding: Of its cells.
        masks: Above 0 in the row of a cell's object alone; cells that belong to no object are left out.
    """
    batch, objects = masks.shape[:2]
    cells = embedding.flatten(2).transpose(1, 2)
    owner = owner_of_cells(masks)
    # Every object's cells begin a new group, so there are at most this many, whatever the sizes.
    groups = -(-cells.shape[1] // GROUP) + objects + 1
    counts = F.one_hot(owner, objects + 1).sum(1)
    filled = (counts + GROUP - 1) // GROUP
    first_group = filled.cumsum(1) - filled
    order = owner.argsort(dim=1, stable=True)
    of = owner.gather(1, order)
    rank = torch.arange(cells.shape[1], device=of.device) - (counts.cumsum(1) - counts).gather(1, of)
    place = first_group.gather(1, of) * GROUP + rank
    norm = cells.square().sum(-1, keepdim=True)
    source = torch.cat([-2 * cells, norm], 2).gather(1, order[..., None].expand(-1, -1, cells.shape[2] + 1))
    far = F.pad(cells.new_zeros(batch, groups * GROUP, cells.shape[2]), (0, 1), value=FAR)
    rows = far.scatter(1, place[..., None].expand_as(source), source)
    ends = filled.cumsum(1)
    number = torch.arange(groups, device=of.device)
    group_owner = torch.searchsorted(ends, number.expand(batch, -1).contiguous(), right=True)
    none = torch.iinfo(torch.int16).max
    return SortedCells(rows, torch.where(group_owner < objects, group_owner, none))


def owner_of_cells(masks: Float[Tensor, "B O h w"]) -> Integer[Tensor, "B n"]:
    """The one object with a weight above 0 in each cell; ``O`` where there is none."""
    inside, owner = masks.flatten(2).max(1)
    return torch.where(inside > 0, owner, masks.shape[1])


def global_distance(
    query: Float[Tensor, "B C h w"], references: Sequence[SortedCells], objects: int
) -> Float[Tensor, "B O h w"]:
    """Squared distance of each cell to the nearest reference cell of each object; ``FAR`` if there is none.

    One product of distances per reference serves all objects, and it is never held whole. Where gradients are wanted
    the nearest cells are found first, without a graph, and only their distances are computed again.

    Args:
        query: Embedding of the frame.
        references: Frames to compare with; may be empty.
        objects: ``O``, background included.
    """
    flat = query.flatten(2)
    if torch.is_grad_enabled() and any(x.requires_grad for x in (query, *(r.rows for r in references))):
        distance = _differentiable(flat, references, objects)
    else:
        columns = F.pad(flat, (0, 0, 0, 1), value=1.0)
        block = BLOCK.get(query.device.type, 1024)
        parts = [_nearest(part, references, objects, block) for part in columns.split(block, 2)]
        distance = torch.cat(parts, 2) + flat.square().sum(1, keepdim=True)
    return distance.clamp(max=FAR).reshape(*distance.shape[:2], *query.shape[-2:])


def _nearest(
    columns: Float[Tensor, "B C n"], references: Sequence[SortedCells], objects: int, block: int
) -> Float[Tensor, "B O n"]:
    best = columns.new_full((columns.shape[0], objects + 1, columns.shape[2]), FAR)
    for reference in references:
        groups = [(rows @ columns).unflatten(1, (-1, GROUP)).amin(2) for rows in reference.rows.split(block, 1)]
        owner = reference.owner.clamp(max=objects)[..., None]
        nearest = torch.cat(groups, 1)
        best = best.scatter_reduce(1, owner.expand_as(nearest), nearest, "amin")
    return best[:, :objects]


def _differentiable(
    query: Float[Tensor, "B C n"], references: Sequence[SortedCells], objects: int
) -> Float[Tensor, "B O n"]:
    width, total = query.shape[1], query.shape[2]
    best = query.new_full((query.shape[0], objects, total), FAR)
    for reference in references:
        with torch.no_grad():
            columns = F.pad(query, (0, 0, 0, 1), value=1.0)
            block = BLOCK.get(query.device.type, 1024)
            row = torch.cat([_nearest_row(part, reference, objects, block) for part in columns.split(block, 2)], 2)
        chosen = reference.rows.gather(1, row.flatten(1)[..., None].expand(-1, -1, width + 1))
        chosen = chosen.unflatten(1, (objects, total))
        product = (chosen[..., :width] * query.transpose(1, 2)[:, None]).sum(-1)
        best = torch.minimum(best, product + chosen[..., width] + query.square().sum(1)[:, None])
    return best


def _nearest_row(
    columns: Float[Tensor, "B C n"], reference: SortedCells, objects: int, block: int
) -> Integer[Tensor, "B O n"]:
    """Row of the nearest cell of each object; a row that is far if the object has none."""
    parts = [(rows @ columns).unflatten(1, (-1, GROUP)).min(2) for rows in reference.rows.split(block, 1)]
    values, inside = torch.cat([part.values for part in parts], 1), torch.cat([part.indices for part in parts], 1)
    others = reference.owner[:, None] != torch.arange(objects, device=columns.device)[:, None]
    group = (values[:, None] + FAR * others[..., None]).argmin(2)
    row = group * GROUP + inside.gather(1, group)
    # The last group is never full, so its last row is far.
    lacking = others.all(2)[..., None]
    return torch.where(lacking, reference.rows.shape[1] - 1, row)


def window_distance(
    query: Float[Tensor, "B C h w"],
    previous: Float[Tensor, "B C h w"],
    masks: Float[Tensor, "B O h w"],
    radii: Sequence[int],
) -> Float[Tensor, "B O r h w"]:
    """Squared distance of each cell to the nearest cell of each object in windows around it.

    Args:
        query: Embedding of the frame.
        previous: Embedding of the frame before.
        masks: Its one-hot masks.
        radii: Of the windows in cells, in any order; ``FAR`` where a window holds no cell of the object.
    """
    (batch, _, height, width), radius = masks.shape, max(radii)
    side = 2 * radius + 1
    wide = width + 2 * radius
    rows = F.pad(previous, (radius,) * 4).permute(0, 2, 3, 1).contiguous()
    # All cells of the 2 r + 1 rows around a row: a view in which rows overlap.
    around = rows.as_strided((batch, height, side * wide, rows.shape[3]), (*rows.stride()[:2], rows.stride(2), 1))
    product = query.permute(0, 2, 3, 1) @ around.transpose(2, 3)
    stride = product.stride()
    # Of each of these rows, the 2 r + 1 cells around a column.
    band = product.as_strided((batch, height, width, side, side), (*stride[:2], stride[2] + 1, wide, 1))
    norm = F.pad(previous.square().sum(1), (radius,) * 4).unfold(1, side, 1).unfold(2, side, 1)
    distance = query.square().sum(1)[..., None, None] + norm - 2 * band
    offsets = torch.arange(-radius, radius + 1, device=query.device).abs()
    ring = torch.maximum(offsets[:, None], offsets[None]).flatten()
    order = ring.argsort(stable=True)
    distance = distance.flatten(3).index_select(3, order)
    own = F.pad(masks > 0.5, (radius,) * 4).unfold(2, side, 1).unfold(3, side, 1).flatten(4).index_select(4, order)
    ascending = sorted(set(radii))
    sizes = [(2 * r + 1) ** 2 for r in ascending]
    lengths = [size - before for size, before in zip(sizes, [0, *sizes[:-1]], strict=True)]
    found: dict[int, Tensor] = {}
    best: Tensor | None = None
    parts = zip(distance.split(lengths, 3), own.split(lengths, 4), strict=True)
    for r, (values, belongs) in zip(ascending, parts, strict=True):
        nearest = torch.where(belongs, values[:, None], FAR).amin(-1)
        best = nearest if best is None else torch.minimum(best, nearest)
        found[r] = best
    return torch.stack([found[r] for r in radii], 2)


def least_of_others(maps: Float[Tensor, "B O M h w"]) -> Float[Tensor, "B O M h w"]:
    """For each object the least value over all other objects: how near the rest is. Needs ``O`` > 1."""
    least = maps.topk(2, dim=1, largest=False)
    own = torch.arange(maps.shape[1], device=maps.device)[None, :, None, None, None]
    return torch.where(least.indices[:, :1] == own, least.values[:, 1:], least.values[:, :1])
