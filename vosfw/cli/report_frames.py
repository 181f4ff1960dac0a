"""What stills and videos of a report share: which pictures are wanted, and the layers of a frame."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxtyping import UInt8
from torch import Tensor

from vosfw.cli.evaluated_videos import Shot
from vosfw.report.pictures import Size, entropy_layer, error_layer, mask_layer
from vosfw.types import VOID


class Wanted(NamedTuple):
    """What to show."""

    frames: int
    """Worst frames of each run."""
    videos: int | Sequence[str]
    """Worst videos of each set, or names of videos."""
    width: int
    """Of a picture at most, in pixels."""
    most: int
    """Size of all pictures together at most, in bytes."""


class Layers(NamedTuple):
    """Pictures over one frame, as ``data:`` addresses; None where there is nothing to draw from."""

    truth: str | None
    prediction: str | None
    error: str | None
    entropy: str | None


def layers(shot: Shot, size: Size, slot: int | None = None, *, with_truth: bool = True) -> Layers:
    """The layers of a frame.

    Args:
        shot: The frame.
        size: Of the pictures.
        slot: Of the object, from 1, whose errors are drawn; None for those of all.
        with_truth: Draw the truth by itself, too.
    """
    truth, predicted = (x if slot is None or x is None else _only(x, slot) for x in (shot.truth, shot.predicted))
    return Layers(
        None if shot.truth is None or not with_truth else mask_layer(shot.truth, size),
        None if shot.predicted is None else mask_layer(shot.predicted, size),
        None if truth is None or predicted is None else error_layer(predicted, truth, size),
        None if shot.entropy is None else entropy_layer(shot.entropy, size),
    )


def _only(labels: UInt8[Tensor, "Y X"], slot: int) -> UInt8[Tensor, "Y X"]:
    """One object alone; unlabelled pixels stay."""
    return (labels == slot).to(labels.dtype).masked_fill(labels == VOID, VOID)


def weight(parts: Sequence[str | None]) -> int:
    """Size of pictures together, in bytes."""
    return sum(len(part) for part in parts if part is not None)


def expect(bar: Any, count: int) -> None:
    """Tell a progress bar of further work."""
    bar.total = (bar.total or 0) + count
    bar.refresh()
