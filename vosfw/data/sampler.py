"""Which clips to train on, and which videos a process evaluates."""

from typing import NamedTuple


class ClipRequest(NamedTuple):
    """What a sampler asks of a data set."""

    video: int
    """Index of the video in the data set."""
    frames: tuple[int, ...]
    """Indices of the frames in the video."""
    seed: int
    """Of all random choices made for this clip."""
