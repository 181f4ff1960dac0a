"""PCVOS's propagation written down once more, as slowly and plainly as it reads: which frames make a clip, what is seen
ahead of it, and what is remembered.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple


class Segmented(NamedTuple):
    """A clip, and frames of the next one that the network sees along with it."""

    clip: tuple[int, ...]
    ahead: tuple[int, ...]


class Remembered(NamedTuple):
    frame: int


def clip_cut(
    length: int, starts: Collection[int], wanted: Sequence[bool], overlap: int = 0
) -> Iterator[Segmented | Remembered]:
    """What happens, in order.

    Args:
        length: Frames per clip.
        starts: Frames in which objects are given; each of them cuts anew.
        wanted: Which frames are to be predicted.
        overlap: Most frames that are seen ahead.
    """
    begins = sorted(starts)
    for begin, end in zip(begins, [*begins[1:], len(wanted) - 1], strict=True):
        if begin == begins[0]:
            yield Remembered(begin)
        last = begin
        # The next frame with masks is predicted for the objects already known.
        required = [t for t in range(begin + 1, end + 1) if wanted[t] or t in begins]
        for i in range(0, len(required), length):
            clip = tuple(required[i : i + length])
            yield Segmented(clip, tuple(required[i + length : i + length + overlap]))
            for t in clip:
                # A frame with masks is remembered once, whatever the distance.
                if t - last >= length or t in begins:
                    yield Remembered(t)
                    last = t


def what_counts(events: Sequence[Segmented | Remembered]) -> list[Segmented | Remembered]:
    """Without what is remembered and never read."""
    events = list(events)
    while len(events) > 1 and isinstance(events[-1], Remembered):
        events.pop()
    return events
