"""When a segmented frame is remembered, and how."""

from typing import Protocol, runtime_checkable

from vosfw.errors import ConfigError


@runtime_checkable
class Policy(Protocol):
    """Decides about memory from frame numbers alone, so that a schedule can be planned before frames are segmented."""

    recent: bool
    """Remember the last frame of a span as the transient entry when it is not kept."""
    process_unwanted: bool
    """Predict a frame that nobody asked for when it is due for memory (STCN's YouTube-VOS loop)."""

    def keeps(self, t: int, *, since_keep: int, given: bool, introduces: bool) -> bool:
        """Whether frame ``t`` stays in memory to the end of the video.

        Args:
            t: Frame number, counted from the first given frame.
            since_keep: Frames since the last kept one.
            given: Whether the frame came with masks.
            introduces: Whether these masks hold an object for the first time.
        """
        ...


class IntervalPolicy:
    """Keep every n-th frame, and frames that came with masks.

    Args:
        every: Interval in frames; None keeps given frames only.
        anchor: What the interval counts from: ``last_kept`` (STCN's YouTube-VOS loop, PCVOS) or ``start`` (STCN's DAVIS
            loop, RPCM's pool). They agree unless objects join later.
        given: Which given frames are kept out of turn: ``all``, those ``introducing`` an object (the previous frame of
            CFBI's training triple is given, but no reference), ``scheduled``, those that the interval keeps anyway and
            the first (STM as the cyclic mechanism's release runs it), or ``none`` (reference set ``prev``).
        recent: Remember the last frame of every other span as the transient entry (STCN's ``include_last``; matching
            networks need it).
        process_unwanted: Predict unwanted frames that are due for memory.

    Raises:
        ConfigError: If ``every`` is below 1, or a choice is unknown.
    """

    def __init__(
        self,
        every: int | None = 5,
        anchor: str = "last_kept",
        given: str = "all",
        recent: bool = False,
        process_unwanted: bool = False,
    ) -> None:
        if every is not None and every < 1:
            raise ConfigError(f"engine.policy.every is {every}; wanted a number of frames from 1, or null for never")
        if anchor not in ("last_kept", "start"):
            raise ConfigError(f"engine.policy.anchor is {anchor!r}; wanted last_kept or start")
        if given not in ("all", "introducing", "scheduled", "none"):
            raise ConfigError(f"engine.policy.given is {given!r}; wanted all, introducing, scheduled or none")
        self.every = every
        self.anchor = anchor
        self.given = given
        self.recent = recent
        self.process_unwanted = process_unwanted

    def keeps(self, t: int, *, since_keep: int, given: bool, introduces: bool) -> bool:
        """See ``Policy.keeps``."""
        if given and (self.given != "scheduled" or t == 0):
            return self.given != "none" and (self.given != "introducing" or introduces)
        if self.every is None:
            return False
        return since_keep >= self.every if self.anchor == "last_kept" else t % self.every == 0
