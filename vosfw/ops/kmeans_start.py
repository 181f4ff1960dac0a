"""Where K-Means starts: the rows that are the first centres."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from vosfw.ops.object_rows import ObjectRows

STARTS = ("plusplus", "random", "even")


def starting_rows(layout: ObjectRows, start: str, clusters: int, seed: int) -> Integer[Tensor, "B O K"]:
    """Rows that are the first centres. An object with fewer points than clusters has some of them more than once.

    Args:
        layout: The points.
        start: One of ``STARTS``.
        clusters: ``K``.
        seed: Of what is drawn; the same in all rows of the batch.
    """
    device, count, first = layout.real.device, layout.sizes[..., None], layout.first[..., None]
    last = layout.real[0].numel() - 1
    step = torch.arange(clusters, device=device)
    if start == "even":
        return (first + (2 * step + 1) * count // (2 * clusters)).clamp(max=last)
    generator = torch.Generator(device).manual_seed(seed)
    if start == "random":
        row = (first + torch.minimum(step, (count - 1).clamp(min=0))).clamp(max=last)
        return layout.ranked(_uniform(layout, generator)).gather(1, row.flatten(1)).view_as(row)
    return _plusplus(layout, clusters, generator)


def _uniform(layout: ObjectRows, generator: torch.Generator) -> Float[Tensor, "B G S"]:
    """A number for each point by its index, so that neither the batch nor the layout matters."""
    drawn = torch.rand(layout.place.shape[1], generator=generator, device=layout.point.device)
    return drawn.index_select(0, layout.point.flatten()).view(layout.point.shape)


def _plusplus(layout: ObjectRows, clusters: int, generator: torch.Generator) -> Integer[Tensor, "B O K"]:
    """Each centre in proportion to the squared distance to those before (k-means++).

    Of exponential times divided by weights, each is the least with a chance in proportion to its weight.
    """
    rows, owns = layout.rows.flatten(0, 1), layout.owns()
    norm = square_norm(layout)[..., None]
    left, chosen = torch.ones_like(norm), []
    for step in range(clusters):
        times = _uniform(layout, generator).log_().neg_()
        race = (left.view_as(times) / times).masked_fill_(~layout.real, -1.0)
        best, inside = race.max(2)
        group = torch.where(owns, best[:, None], -torch.inf).argmax(2)
        chosen.append(group * race.shape[2] + inside.gather(1, group))
        vectors = layout.of_group(score_vectors(layout, layout.take(chosen[-1][..., None])))
        distance = torch.baddbmm(norm, rows, vectors.transpose(1, 2)).clamp_(min=0)
        left = distance if step == 0 else torch.minimum(left, distance)
    return torch.stack(chosen, 2)


def square_norm(layout: ObjectRows) -> Float[Tensor, "BG S"]:
    """``|x|^2`` of each row."""
    norm: Tensor = torch.linalg.vector_norm(layout.rows[..., : layout.width], dim=3)
    return norm.square_().flatten(0, 1)


def score_vectors(layout: ObjectRows, centers: Float[Tensor, "B O K W"]) -> Float[Tensor, "B O K W"]:
    """``-2 c`` and ``|c|^2``: times a row it is the squared distance to the centre, less the row's own ``|x|^2``."""
    body = centers[..., : layout.width]
    vectors = torch.cat([-2 * body, body.square().sum(-1, keepdim=True)], -1)
    return F.pad(vectors, (0, centers.shape[-1] - vectors.shape[-1]))
