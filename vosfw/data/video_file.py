"""Video files, read and written through PyAV."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any

import av
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from vosfw.data.files import cannot_write, replacing
from vosfw.errors import DatasetError, OutputError

RECENT = 8
"""Decoded frames that stay at hand: a reader ahead and a viewer behind it must not take turns in starting over."""
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")


class VideoFile:
    """Frames of a video file, decoded one after another; going back decodes from the start again.

    Args:
        path: Any video file that FFmpeg reads; a rotation in its metadata is applied.

    Raises:
        DatasetError: If the file is missing, is no video or has no frames.
    """

    _decoder: Generator[Any, None, None] | None
    _next: int
    _recent: dict[int, Tensor]

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._reset()
        with self._opened() as (container, stream):
            self.fps = float(stream.average_rate or 25)
            count = int(stream.frames) or sum(packet.size > 0 for packet in container.demux(stream))
        if count == 0:
            raise DatasetError(f"The video '{self.path}' has no frames. Export it again.")
        self._count = count
        self.size = (self[0].shape[1], self[0].shape[2])
        self.close()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 Y X"]:
        """Frame ``index``; quickest in increasing order. May be called from several threads.

        Raises:
            IndexError: If ``index`` is outside the video.
            DatasetError: If the file ends early or is damaged.
        """
        if not 0 <= index < self._count:
            raise IndexError(f"Frame {index} of '{self.path}', which has {self._count} frames.")
        with self._lock:
            while index not in self._recent:
                self._advance(index)
            return self._recent[index]

    def _advance(self, index: int) -> None:
        """Decode one more frame on the way to ``index``."""
        if self._decoder is None or index < self._next:
            self.close()
            self._decoder = self._decode()
        try:
            frame = next(self._decoder, None)
        except (av.error.FFmpegError, OSError) as error:
            raise DatasetError(f"Frame {index} of '{self.path}' is damaged ({error}). Export it again.") from error
        if frame is None:
            ends = self._next
            self.close()
            raise DatasetError(
                f"The video '{self.path}' ends after {ends} frames, but its header promises {self._count}: "
                f"frame {index} is missing. Export it again."
            )
        if index - self._next < RECENT:
            self._recent[self._next] = _to_tensor(frame)
            self._recent.pop(self._next - RECENT, None)
        self._next += 1

    def close(self) -> None:
        """Stop decoding and free the decoder and its frames; the next access starts it anew."""
        if self._decoder is not None:
            self._decoder.close()
        self._decoder, self._next = None, 0
        self._recent.clear()

    def _reset(self) -> None:
        self._lock = Lock()
        self._decoder, self._next, self._recent = None, 0, {}

    def _decode(self) -> Generator[Any, None, None]:
        with self._opened() as (container, stream):
            stream.thread_type = "AUTO"
            yield from container.decode(stream)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        if not self.path.is_file():
            raise DatasetError(f"No video at '{self.path}'. Check the path.")
        try:
            container = av.open(str(self.path))
        except (av.error.FFmpegError, OSError) as error:
            raise DatasetError(f"'{self.path}' has no frames that can be read ({error}). Export it as mp4.") from error
        with container:
            if not container.streams.video:
                raise DatasetError(f"'{self.path}' has no video stream, hence no frames. Give a video file.")
            yield container, container.streams.video[0]

    def __getstate__(self) -> dict[str, Any]:
        # A worker process or a copy opens the file for itself.
        return {name: self.__dict__[name] for name in ("path", "fps", "size", "_count")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


def _to_tensor(frame: Any) -> UInt8[Tensor, "3 Y X"]:
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90)
    return torch.from_numpy(np.ascontiguousarray(np.rot90(pixels, turns).transpose(2, 0, 1)))


CONTAINERS = {".mkv": "matroska", ".m4v": "mp4"}
"""What FFmpeg calls containers whose files end otherwise."""


class VideoWriter:
    """Takes the frames of a video file one by one; made by ``write_video``."""

    def __init__(self, path: Path, draft: Path, fps: float | int, size: tuple[int, int]) -> None:
        self._path, self._size = path, size
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        with self._guarded():
            self._container = av.open(str(draft), "w", CONTAINERS.get(path.suffix.lower(), path.suffix[1:].lower()))
            stream: Any = self._container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = size[0] + size[0] % 2, size[1] + size[1] % 2
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "20", "preset": "veryfast"}
        self._stream = stream

    def add(self, frame: UInt8[Tensor, "3 Y X"]) -> None:
        """Append one RGB frame.

        Raises:
            OutputError: If the frame has another size than the video, or the file cannot be written.
        """
        size = (frame.shape[1], frame.shape[2])
        if size != self._size:
            raise OutputError(f"Got a frame of {size} for the video '{self._path}' of {self._size}. Resize it first.")
        pixels = frame.permute(1, 2, 0).cpu().numpy()
        pixels = np.pad(pixels, ((0, size[0] % 2), (0, size[1] % 2), (0, 0)), mode="edge")
        self._encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"))

    def close(self, *, finish: bool) -> None:
        """Close the file, with the frames still in the encoder if it is to be finished."""
        with self._guarded():
            if finish:
                self._encode(None)
            self._container.close()

    def _encode(self, image: Any) -> None:
        with self._guarded():
            for packet in self._stream.encode(image):
                self._container.mux(packet)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise cannot_write(self._path, error) from error


@contextmanager
def write_video(path: Path | str, fps: float | int, size: tuple[int, int]) -> Iterator[VideoWriter]:
    """Write a video file (H.264 where the codec is there, else MPEG-4; yuv420p); it appears when complete.

    Args:
        path: Where to; an existing file is replaced.
        fps: Frames per second.
        size: Height and width of the frames; odd sizes are padded by repeating the last row or column.

    Raises:
        OutputError: If the file cannot be written.
    """
    path = Path(path)
    with replacing(path) as draft:
        writer = VideoWriter(path, draft, fps, (size[0], size[1]))
        finish = False
        try:
            yield writer
            finish = True
        finally:
            writer.close(finish=finish)
