"""Gradients of a whole video, one frame's graph at a time."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vosfw.engine.records import GivenMasks
from vosfw.engine.stream import Stream
from vosfw.types import Features, ObjectMasks, Step

Session = tuple[Any, ...]
"""What a stream remembers, as a tree of tuples."""


class Event(NamedTuple):
    """One call of a stream."""

    t: int | None
    """The frame that came in; None for the end of the video."""
    given: GivenMasks | None
    wanted: bool
    follows: tuple[bool, ...]
    """Which tensors of the session before it depend on what is differentiated."""


class Tape(Stream):
    """A session that can be run again, in parts and backwards.

    Between calls of ``push`` the session is cut off from its graph. ``backward`` runs the calls again in reverse order,
    each from the session it found, and hands the gradient of a session on to the call before: back-propagation through
    time that holds one graph, and about ``2 sqrt(n)`` sessions of a video of ``n`` frames.
    """

    events: list[Event]
    marks: list[Session]
    """The session before every n-th event."""
    every: int

    def record(self, frames: int) -> None:
        """Begin to note what comes in; ``frames`` is the length of the video."""
        self.events, self.marks, self.every = [], [], max(math.isqrt(frames), 1)
        self.recording = True

    recording = False

    @property
    def session(self) -> Session:
        """What the stream remembers."""
        return tuple(getattr(self, name) for name in self.REMEMBERED)

    @session.setter
    def session(self, values: Session) -> None:
        for name, value in zip(self.REMEMBERED, values, strict=True):
            setattr(self, name, value)

    def push(
        self,
        frame: Tensor | None = None,
        *,
        features: Features | None = None,
        given: GivenMasks | None = None,
        wanted: bool = True,
        truth: ObjectMasks | None = None,
    ) -> Iterator[Step]:
        """See ``Stream.push``."""
        self._note(self.next_frame, given, wanted)
        busy, self.recording = self.recording, False
        yield from super().push(frame, features=features, given=given, wanted=wanted, truth=truth)
        self.recording = busy

    def flush(self) -> Iterator[Step]:
        """See ``Stream.flush``."""
        # Inside of push it is a part of that call.
        self._note(None, None, False)
        yield from super().flush()

    def _note(self, t: int | None, given: GivenMasks | None, wanted: bool) -> None:
        if self.recording:
            follows = tuple(x.requires_grad for x in tensors(self.session))
            self.session = cut(self.session, follows)
            if len(self.events) % self.every == 0:
                self.marks.append(self.session)
            self.events.append(Event(t, given, wanted, follows))

    def backward(
        self,
        read: Callable[[int], Tensor],
        loss: Callable[[Step], Tensor | None],
        inputs: Callable[[], Sequence[Tensor]],
        take: Callable[[Sequence[Tensor | None]], None],
    ) -> None:
        """Gradients of the sum of all frames' losses.

        Args:
            read: A frame of the video at input size, [1, 3, H, W].
            loss: Of a step; None for one that does not count.
            inputs: Called after each event: the tensors that it used and that are asked for.
            take: Called with their gradients, latest event first; None for those without.
        """
        self.recording = False
        later: list[Tensor | None] = []
        while self.marks:
            events = self.events[(len(self.marks) - 1) * self.every :][: self.every]
            sessions = [self.marks.pop()]
            for event in events[:-1]:
                self.session = cut(sessions[-1], event.follows)
                for _ in self._again(event, read):
                    pass
                inputs()
                sessions.append(cut(self.session, ()))
            for event in reversed(events):
                self.session = before = cut(sessions.pop(), event.follows)
                losses = [loss(step) for step in self._again(event, read)]
                later = _step_back(self.session, before, losses, later, inputs(), take)

    def _again(self, event: Event, read: Callable[[int], Tensor]) -> Iterator[Step]:
        if event.t is None:
            return self.flush()
        # Frames that nobody wants pass without an event.
        self.next_frame = event.t
        return self.push(read(event.t), given=event.given, wanted=event.wanted)


def _step_back(
    after: Session,
    before: Session,
    losses: Sequence[Tensor | None],
    later: Sequence[Tensor | None],
    inputs: Sequence[Tensor],
    take: Callable[[Sequence[Tensor | None]], None],
) -> list[Tensor | None]:
    """Gradients of the session before an event, from those of the session after it; hands on those of its inputs."""
    outputs = [(x, torch.ones_like(x)) for x in losses if x is not None]
    outputs += [(x, gradient) for x, gradient in zip(tensors(after), later, strict=False) if gradient is not None]
    outputs = [(x, gradient) for x, gradient in outputs if x.requires_grad]
    leaves = [x for x in tensors(before) if x.requires_grad]
    wanted = [*leaves, *inputs]
    if not outputs or not wanted:
        take([None] * len(inputs))
        return [None] * len(tensors(before))
    found = torch.autograd.grad([x for x, _ in outputs], wanted, [g for _, g in outputs], allow_unused=True)
    take(found[len(leaves) :])
    own = iter(found[: len(leaves)])
    return [next(own) if x.requires_grad else None for x in tensors(before)]


def tensors(tree: Any) -> list[Tensor]:
    """The tensors of a tree of tuples, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    return [x for item in tree for x in tensors(item)] if isinstance(tree, tuple) else []


def cut(tree: Any, follows: Sequence[bool]) -> Any:
    """The tree without its graph; gradients are kept of the tensors that ``follows`` names, or of none."""
    wanted = iter(follows)

    def change(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.detach().requires_grad_(next(wanted, False))
        if not isinstance(value, tuple):
            return value
        items = [change(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)

    return change(tree)
