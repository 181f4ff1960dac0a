"""What the engine needs of a video."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class VideoSource(Protocol):
    """A video that is read lazily, frame by frame (``vosfw.data.video.Video`` is one)."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    @property
    def given(self) -> dict[int, tuple[int, ...]]:
        """Slots whose masks are handed over, by frame."""
        ...

    @property
    def wanted(self) -> tuple[bool, ...]:
        """Frames that are to be predicted."""
        ...

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def frame(self, index: int) -> Tensor:
        """RGB, uint8 or float32 around 0..1, [3, Y, X]."""
        ...

    def given_mask(self, index: int) -> Tensor:
        """Label map of the given slots, uint8 [Y, X]."""
        ...


@runtime_checkable
class LabelledVideo(VideoSource, Protocol):
    """A video that can be read in any order and knows true masks."""

    name: str
    annotated: Sequence[int]
    """Frames that have a mask."""

    def truth(self, index: int) -> Tensor | None:
        """Slot + 1 per pixel of the objects handed over so far, VOID unlabelled, uint8 [Y, X]; None without a mask."""
        ...


def whole(video: VideoSource) -> Any:
    """The video behind one whose frames must be asked for in order."""
    return getattr(video, "whole", video)
