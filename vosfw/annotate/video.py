"""The frames of a video for display."""

import io
import zlib
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from PIL import Image

from vosfw.errors import DatasetError
from vosfw.segment import Frames

KEPT_BYTES = 64 * 2**20
"""JPEGs that stay in memory."""
QUALITY = 90


class ShownVideo:
    """Frames as JPEG, decoded when asked for; a bounded number of bytes stays in memory.

    Args:
        source: Video file, or folder of frames.

    Raises:
        DatasetError: If it holds no frames that can be read.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self.frames, self._lock = Frames(source), Lock()
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        self.names, self.fps = self.frames.names, self.frames.fps
        first = self.frames(0)
        self.size = (first.shape[1], first.shape[2])
        self.checksum = zlib.crc32(first.numpy().tobytes())
        """Of the first frame; it tells videos apart."""

    @property
    def paths(self) -> list[Path]:
        """The pictures of a folder of frames."""
        return [] if self.frames.file is not None else self.frames.paths

    def __len__(self) -> int:
        return len(self.names)

    def jpeg(self, t: int) -> bytes:
        """Frame ``t`` at the video's own size.

        Raises:
            DatasetError: If it is damaged or of another size than the first.
        """
        with self._lock:
            if t in self._kept:
                self._kept.move_to_end(t)
                return self._kept[t]
            frame = self.frames(t)
            if (frame.shape[1], frame.shape[2]) != self.size:
                raise DatasetError(
                    f"frame {self.names[t]} is {frame.shape[1]}x{frame.shape[2]}, the first {self.size[0]}x"
                    f"{self.size[1]} (height x width). Export all frames at one size."
                )
            buffer = io.BytesIO()
            Image.fromarray(frame.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=QUALITY)
            self._kept[t] = data = buffer.getvalue()
            self._bytes += len(data)
            while self._bytes > KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])
            return data
