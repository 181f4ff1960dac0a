"""What a session holds of its frames."""

from typing import Any, NamedTuple

from jaxtyping import Bool, Integer
from torch import Tensor

from vosfw.engine.cycle import KnownFrame
from vosfw.types import Features, ObjectMasks


class GivenMasks(NamedTuple):
    """Masks handed over with a frame, and what the loop must know of them on the host."""

    masks: ObjectMasks
    """One-hot, on the mask grid."""
    labels: Integer[Tensor, "B Y X"]
    """The same at the video's own size, of the given slots only."""
    introduces: bool
    """They hold an object for the first time."""
    complete: bool
    """They hold every object known so far: the frame is not segmented."""

    def with_slots(self, valid: Bool[Tensor, "B K"]) -> "GivenMasks":
        """The same masks, with other slots in use from here on, empty if they are not given."""
        return self._replace(masks=self.masks._replace(valid=valid))


class Entry(NamedTuple):
    """A frame that waits for its span, and for what its span looks ahead to, to be complete."""

    t: int
    frame: Tensor | None
    """At input size; None once it is encoded."""
    features: Features | None
    given: GivenMasks | None
    truth: ObjectMasks | None
    keep: bool


class Pending(NamedTuple):
    """A segmented frame that is written to memory when the next span is read, and never if there is none."""

    features: Features
    masks: ObjectMasks
    keep: bool


class EngineState(NamedTuple):
    """All that a session remembers besides frame numbers."""

    network: Any
    valid: Bool[Tensor, "B K"]
    pending: tuple[Pending, ...]
    reference: KnownFrame | tuple[()]
    """The latest given frame, if the corrector needs it."""
