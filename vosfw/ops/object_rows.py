"""Points laid out by object, so that what is done for each object is done for all at once, and no more than needed."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

GROUP = 256
"""Rows of one object that lie together."""
ALIGN = 8
"""Widths of rows are multiples of it: products of odd widths take up to 1.7 times as long."""


SUMMED_IN_ORDER = ("cpu",)
"""Where ``index_add_`` adds in a fixed order, and in half the time of a product with one-hot rows (K = 16)."""


class ObjectRows(NamedTuple):
    """Points sorted by object, in groups of one object each; all numbers of rows count over the groups of a frame."""

    rows: Float[Tensor, "B G S W"]
    """Points less the mean of their object, then a one, then zeros; rows that fill a group are all zero."""
    real: Bool[Tensor, "B G S"]
    """False for rows that fill a group."""
    owner: Integer[Tensor, "B G"]
    """Object of each group, or ``O`` for groups that are not needed."""
    point: Integer[Tensor, "B G S"]
    """Which point a row is; any for those that fill a group."""
    place: Integer[Tensor, "B N"]
    """Row of each point, or -1 for points of no object."""
    first: Integer[Tensor, "B O"]
    """First row of each object."""
    sizes: Integer[Tensor, "B O"]
    """Points of each object."""
    shift: Float[Tensor, "B O C"]
    """Means of the objects, which have been taken off: then distances as differences of products round little."""

    def of_group(self, table: Float[Tensor, "B O *s"]) -> Float[Tensor, "BG *s"]:
        """What a table has for each group's object; something for groups that are not needed."""
        batch, objects = table.shape[:2]
        row = torch.arange(batch, device=table.device)[:, None] * objects + self.owner.clamp(max=objects - 1)
        return table.flatten(0, 1).index_select(0, row.flatten())

    @property
    def width(self) -> int:
        """``C``."""
        return int(self.shift.shape[2])

    def owns(self) -> Bool[Tensor, "B O G"]:
        """Whether a group is an object's."""
        objects = torch.arange(self.sizes.shape[1], device=self.owner.device)
        return self.owner[:, None].eq(objects[:, None])

    def total(self, table: Float[Tensor, "B G *s"]) -> Float[Tensor, "B O *s"]:
        """Sum over the groups of each object; a product, which gives the same each time on a GPU too."""
        total = torch.bmm(self.owns().to(table.dtype), table.flatten(2))
        return total.view(*total.shape[:2], *table.shape[2:])

    def sums(self, cluster: Integer[Tensor, "B G S"], clusters: int) -> Float[Tensor, "B O K W"]:
        """Sum over the rows of each cluster of each object; the same each time."""
        (batch, objects), device = self.sizes.shape, cluster.device
        if device.type in SUMMED_IN_ORDER:
            number = torch.arange(batch, device=device)[:, None] * objects + self.owner.clamp(max=objects - 1)
            index = (number[..., None] * clusters + cluster).flatten()
            sums = self.rows.new_zeros(batch * objects * clusters, self.rows.shape[3])
            return sums.index_add_(0, index, self.rows.flatten(0, 2)).view(batch, objects, clusters, -1)
        member = self.rows.new_zeros(batch, self.owner.shape[1], clusters, cluster.shape[2])
        member.scatter_(2, cluster[:, :, None], 1.0)
        return self.total(torch.matmul(member, self.rows))

    def take(self, row: Integer[Tensor, "B O K"]) -> Float[Tensor, "B O K W"]:
        """Rows by number."""
        begin = torch.arange(row.shape[0], device=row.device)[:, None, None] * self.real[0].numel()
        return self.rows.flatten(0, 2).index_select(0, (begin + row).flatten()).view(*row.shape, -1)

    def ranked(self, value: Float[Tensor, "B G S"]) -> Integer[Tensor, "B GS"]:
        """Rows in falling order of a value within each object, whose place they keep: ``first[o]`` is o's largest."""
        order = value.masked_fill(~self.real, -torch.inf).flatten(1).argsort(dim=1, descending=True, stable=True)
        owner = self.owner[..., None].expand_as(self.real).flatten(1)
        return order.gather(1, owner.gather(1, order).argsort(dim=1, stable=True))


def lay_out(points: Float[Tensor, "B N C"], owner: Integer[Tensor, "B N"], objects: int, *, group: int) -> ObjectRows:
    """Sort points by object. Memory grows with ``N + O * group``, not with ``N * O``.

    Args:
        points: One or more in each row of the batch.
        owner: Object of each point; outside ``0..objects-1`` for a point of no object.
        objects: ``O``, one or more.
        group: ``S``, rows to a group.
    """
    (batch, total, width), device = points.shape, points.device
    owned = (owner >= 0) & (owner < objects)
    of, order = torch.where(owned, owner.long(), objects).sort(dim=1, stable=True)
    begin = torch.searchsorted(of, torch.arange(objects + 1, device=device).expand(batch, -1).contiguous())
    count = begin.diff(dim=1)
    filled = (count + group - 1) // group
    ends = filled.cumsum(1)
    first = (ends - filled) * group
    # Each object begins a new group. How many there are is known at once on a CPU; elsewhere that would mean to wait.
    groups = max(int(ends.max()), 1) if device.type == "cpu" else total // group + objects
    number = torch.arange(groups, device=device).expand(batch, -1).contiguous()
    group_owner = torch.searchsorted(ends, number, right=True)
    known = group_owner.clamp(max=objects - 1)
    rank = (number * group - first.gather(1, known))[..., None] + torch.arange(group, device=device)
    real = (rank < count.gather(1, known)[..., None]) & (group_owner < objects)[..., None]
    source = torch.where(real, begin.gather(1, known)[..., None] + rank, 0)
    point = order.gather(1, source.flatten(1)).view_as(source)
    of = of.clamp(max=objects - 1)
    row = torch.arange(total, device=device) - begin.gather(1, of) + first.gather(1, of)
    place = torch.where(owned, torch.empty_like(order).scatter_(1, order, row), -1)
    rows = points.new_empty(batch, groups, group, -(-(width + 1) // ALIGN) * ALIGN)
    index = (point + total * torch.arange(batch, device=device)[:, None, None]).flatten()
    weight = real[..., None].to(points.dtype)
    body = rows[..., :width]
    torch.mul(points.flatten(0, 1).index_select(0, index).view(body.shape), weight, out=body)
    rows[..., width : width + 1], rows[..., width + 1 :] = weight, 0
    found = ObjectRows(rows, real, group_owner, point, place, first, count, points.new_zeros(batch, objects, width))
    mean = found.total((weight.mT @ rows)[:, :, 0, :width]) / count.clamp(min=1)[..., None]
    body.addcmul_(found.of_group(mean).view(batch, groups, 1, width), weight, value=-1)
    return found._replace(shift=mean)
