"""A propagation in a thread of its own, to be watched and stopped."""

import logging
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

from vosfw.errors import VosfwError

log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818
    """The run was told to stop."""


class Run:
    """Calls ``work`` in a thread with a function that it calls after each frame.

    Args:
        total: Frames that the work takes, both directions counted.
        work: Raises what went wrong; what it wrote before stays valid.
    """

    def __init__(self, total: int, work: Callable[[Callable[[], None]], None]) -> None:
        self.total, self.done = total, 0
        self.error: str | None = None
        self.stopped = False
        self._work, self._stop = work, Event()
        self._start = self._end = time.monotonic()
        self._thread = Thread(target=self._go, name="propagation", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def stop(self, wait: float | int = 0) -> None:
        """End after the frame that is being worked on.

        Args:
            wait: Seconds to wait for it.
        """
        self._stop.set()
        self._thread.join(wait)

    def progress(self) -> dict[str, Any]:
        """How far it is: frames, frames per second, and how it ended."""
        seconds = (time.monotonic() if self.running else self._end) - self._start
        return {
            "running": self.running,
            "done": self.done,
            "total": self.total,
            "rate": self.done / max(seconds, 1e-9),
            "stopped": self.stopped,
            "error": self.error,
        }

    def _step(self) -> None:
        self.done += 1
        if self._stop.is_set():
            raise Stopped

    def _go(self) -> None:
        try:
            self._work(self._step)
        except Stopped:
            self.stopped = True
        except VosfwError as error:
            self.error = f"{type(error).__name__}: {error}"
        except Exception as error:  # The page must show it; the thread has no other way to tell.
            log.exception("propagation failed")
            self.error = f"{type(error).__name__}: {error}. The terminal shows where."
        finally:
            self._end = time.monotonic()
