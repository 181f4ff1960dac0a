"""Reading ahead in a thread."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar, cast

from torch import Tensor

from vosfw.data.video import Video

ItemT = TypeVar("ItemT")
KeyT = TypeVar("KeyT")


def prefetch(read: Callable[[KeyT], ItemT], keys: Iterable[KeyT], ahead: int = 2) -> Iterator[ItemT]:
    """``read`` of each key, in order, computed in one thread while the caller works on the item before.

    Errors surface where the item would have been.

    Args:
        read: Reads one item.
        keys: What to read.
        ahead: Items to read ahead.
    """
    remaining = iter(keys)
    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting: list[Future[ItemT]] = [reader.submit(read, key) for key in islice(remaining, ahead)]
        try:
            while waiting:
                item = waiting.pop(0).result()
                waiting += [reader.submit(read, key) for key in islice(remaining, 1)]
                yield item
        finally:
            for future in waiting:
                future.cancel()


class ReadAhead:
    """A video (``VideoSource``) whose frames a thread reads while the network works on those before.

    Args:
        video: The video; nobody else may read its frames meanwhile.
        unwanted: Whether frames that are not wanted may be asked for.
    """

    def __init__(self, video: Video, *, unwanted: bool = False) -> None:
        self.video = video
        self.size = video.size
        self.given = video.given
        self.wanted = video.wanted
        self.ids = video.ids
        first = min(self.given, default=0)
        asked = [t for t in range(first, len(video)) if unwanted or self.wanted[t] or t in self.given]
        self._frames = cast("Generator[tuple[int, Tensor]]", prefetch(lambda t: (t, video.frame(t)), asked))

    @property
    def whole(self) -> Video:
        """The video itself, for whoever reads it in another order before a frame is asked for here."""
        return self.video

    def __len__(self) -> int:
        return len(self.video)

    def frame(self, index: int) -> Tensor:
        """RGB, uint8 or float32 around 0..1, [3, Y, X]; frames are to be asked for in increasing order."""
        for t, frame in self._frames:
            if t == index:
                return frame
        raise IndexError(f"frame {index} of '{self.video.name}' was passed over")

    def given_mask(self, index: int) -> Tensor:
        """See ``VideoSource``."""
        return self.video.given_mask(index)

    def close(self) -> None:
        """Stop reading."""
        self._frames.close()
