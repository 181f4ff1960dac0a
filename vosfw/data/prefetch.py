"""Reading ahead in a thread."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

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
