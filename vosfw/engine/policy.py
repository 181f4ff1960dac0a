"""When a segmented frame is remembered, and how."""

from typing import Protocol, runtime_checkable

from vosfw.errors import ConfigError


@runtime_checkable
class Policy(Protocol):
    """Decides about memory from frame numbers alone, so that a schedule can be planned before frames are segmented."""

    recent: bool
    """Remember the last frame of a span as the transient entry when it is not kept."""
    process_unwanted: bool | str
    """Predict a frame that nobody asked for when it is due for memory (STCN's YouTube-VOS loop), or, if ``all``, always
    (PCVOS's)."""

    def keeps(self, t: int, *, since_keep: int, clip_length: int, given: bool, introduces: bool) -> bool:
        """Whether frame ``t`` stays in memory to the end of the video.

        Args:
            t: Frame number, counted from the first given frame.
            since_keep: Frames since the last kept one.
            clip_length: Frames that are segmented at once.
            given: Whether the frame came with masks.
            introduces: Whether these masks hold an object for the first time.
        """
        ...


class IntervalPolicy:
    """Keep every n-th frame, and frames that came with masks.

    Args:
        every: Interval in frames; ``clip`` for the clip length, whatever that is (PCVOS: the last frame of each full
            clip); None keeps given frames only.
        anchor: What the interval counts from: ``last_kept`` (STCN's YouTube-VOS loop, PCVOS) or ``start`` (STCN's DAVIS
            loop, RPCM's pool). They agree unless objects join later.
        given: Which given frames are kept out of turn: ``all``, those ``introducing`` an object (the previous frame of
            CFBI's training triple is given, but no reference), ``scheduled``, those that the interval keeps anyway and
            the first (STM as the cyclic mechanism's release runs it), or ``none`` (reference set ``prev``).
        recent: Remember the last frame of every other span as the transient entry (STCN's ``include_last``; matching
            networks need it).
        process_unwanted: Predict unwanted frames that are due for memory, or ``all`` of them: clips then are of
            neighbouring frames (PCVOS's ``predict_all``). They are not written or scored.

    Raises:
        ConfigError: If ``every`` is below 1, or a choice is unknown.
    """

    def __init__(
        self,
        every: int | str | None = 5,
        anchor: str = "last_kept",
        given: str = "all",
        recent: bool = False,
        process_unwanted: bool | str = False,
    ) -> None:
        if every not in (None, "clip") and (not isinstance(every, int) or every < 1):
            raise ConfigError(
                f"engine.policy.every is {every}; wanted a number of frames from 1, clip, or null for never"
            )
        if anchor not in ("last_kept", "start"):
            raise ConfigError(f"engine.policy.anchor is {anchor!r}; wanted last_kept or start")
        if given not in ("all", "introducing", "scheduled", "none"):
            raise ConfigError(f"engine.policy.given is {given!r}; wanted all, introducing, scheduled or none")
        if process_unwanted not in (True, False, "all"):
            raise ConfigError(
                f"engine.policy.process_unwanted is {process_unwanted!r}; wanted true (if due for memory), false or all"
            )
        self.every = every
        self.anchor = anchor
        self.given = given
        self.recent = recent
        self.process_unwanted = process_unwanted

    def keeps(self, t: int, *, since_keep: int, clip_length: int, given: bool, introduces: bool) -> bool:
        """See ``Policy.keeps``."""
        if given and (self.given != "scheduled" or t == 0):
            return self.given != "none" and (self.given != "introducing" or introduces)
        every = self.every if isinstance(self.every, int) else clip_length if self.every else None
        if every is None:
            return False
        return since_keep >= every if self.anchor == "last_kept" else t % every == 0
