"""Objects as mean embeddings."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-5


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


def object_sums(embedding: Float[Tensor, "B C h w"], masks: Float[Tensor, "B O h w"]) -> ObjectSums:
    """Sums of one frame; cells without an object count for no object, but among all cells."""
    flat, own = embedding.flatten(2).float(), masks.flatten(2).float()
    cells = own.new_full((own.shape[0],), float(own.shape[2]))
    return ObjectSums(own @ flat.transpose(1, 2), own.sum(2), flat.sum(2), cells)


def descriptor(sums: ObjectSums) -> Float[Tensor, "B O D"]:
    """Mean embedding of each object and mean of everything else, ``D = 2 C`` (CFBI, section 3.4); zero if absent."""
    inside = sums.inside / (sums.area + EPSILON)[..., None]
    outside = (sums.cells[:, None] - sums.area + EPSILON)[..., None]
    return torch.cat([inside, (sums.total[:, None] - sums.inside) / outside], 2)
