"""Work on many rows a few at a time, so that what lies between input and output stays small."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

CHUNK = {"cpu": 2**25, "cuda": 2**30}
"""Bytes of the result that are worked on at once."""


def in_chunks(
    work: Callable[..., Tensor],
    width: int,
    *inputs: Float[Tensor, "n *_s"],
    size: tuple[int, int],
    over: Float[Tensor, "n D h w"] | None = None,
) -> Float[Tensor, "n E h w"]:
    """``work`` on all rows of the inputs; a few at a time unless gradients are wanted.

    Args:
        work: Maps rows of the inputs to rows of the result, each for itself.
        width: Channels of the result, ``E``.
        inputs: With as many rows as the result.
        size: Height and width of the result.
        over: A map of the result's size that is not needed any more: if it has channels enough, the result takes its
            place.
    """
    count = inputs[0].shape[0]
    rows = rows_at_once(inputs[0], width * size[0] * size[1])
    if rows >= count or (torch.is_grad_enabled() and any(x.requires_grad for x in inputs)):
        return work(*inputs)
    result = None
    for start in range(0, count, rows):
        part = work(*(x[start : start + rows] for x in inputs))
        if result is None:
            fits = over is not None and over.dtype == part.dtype and over.shape[1] >= width
            result = over[:, :width] if over is not None and fits else part.new_empty(count, *part.shape[1:])
        result[start : start + rows] = part
    assert result is not None
    return result


def rows_at_once(like: Tensor, values: int) -> int:
    """Rows of so many values each, of the type and on the device of ``like``, that may be worked on at once."""
    return max(CHUNK.get(like.device.type, CHUNK["cpu"]) // (values * like.element_size()), 1)
