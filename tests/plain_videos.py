"""A data set that costs nothing: flat frames with one box."""

import torch

from vosfw.data.dataset import VideoDataset
from vosfw.data.video import Video


class PlainVideo(Video):
    size = (16, 16)

    def __init__(self, index: int, length: int) -> None:
        super().__init__(f"v{index}", [f"{t:05d}" for t in range(length)], range(length))
        self.index = index

    def frame(self, index: int) -> torch.Tensor:
        return torch.full((3, *self.size), (37 * self.index + index) % 256, dtype=torch.uint8)

    def id_map(self, index: int) -> torch.Tensor:
        ids = torch.zeros(self.size, dtype=torch.uint8)
        ids[2:8, 4:14] = 1
        return ids


class PlainVideos(VideoDataset):
    """Videos of the given lengths."""

    def __init__(self, lengths: list[int]) -> None:
        super().__init__([f"v{i}" for i in range(len(lengths))])
        self._lengths = lengths

    def video(self, index: int) -> PlainVideo:
        return PlainVideo(index, self._lengths[index])

    @property
    def annotated(self) -> list[range]:
        return [range(length) for length in self._lengths]

    @property
    def lengths(self) -> list[int]:
        return self._lengths
