"""A stretch of each video of a data set."""

from collections.abc import Sequence

from jaxtyping import Float32, Integer, UInt8
from torch import Tensor

from vosfw.data.dataset import VideoDataset
from vosfw.data.video import Video


class SpanDataset(VideoDataset):
    """Videos that begin and end earlier or later; objects are handed over in the first mask that is left.

    Args:
        dataset: The whole videos.
        spans: First frame of each, and the one behind the last.
    """

    def __init__(self, dataset: VideoDataset, spans: Sequence[tuple[int, int]]) -> None:
        super().__init__(dataset.videos)
        self.dataset, self.spans = dataset, tuple(spans)

    @property
    def lengths(self) -> list[int]:
        """Number of frames of each video."""
        return [stop - start for start, stop in self.spans]

    @property
    def annotated(self) -> list[list[int]]:
        """Indices of the annotated frames of each video."""
        found = zip(self.dataset.annotated, self.spans, strict=True)
        return [[index - start for index in frames if start <= index < stop] for frames, (start, stop) in found]

    def video(self, index: int) -> Video:
        """A lazy view of one video."""
        return _Span(self.dataset.video(index), *self.spans[index])


class _Span(Video):
    def __init__(self, video: Video, start: int, stop: int) -> None:
        annotated = [index - start for index in video.annotated if start <= index < stop]
        wanted = video.wanted[start:stop]
        super().__init__(video.name, video.frames[start:stop], annotated, join=video.join, wanted=wanted)
        self._video, self._start, self.groups = video, start, video.groups

    @property
    def size(self) -> tuple[int, int]:
        return self._video.size

    def frame(self, index: int) -> UInt8[Tensor, "3 Y X"] | Float32[Tensor, "3 Y X"]:
        return self._video.frame(index + self._start)

    def id_map(self, index: int) -> Integer[Tensor, "Y X"]:
        return self._video.id_map(index + self._start)
