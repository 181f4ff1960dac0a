"""Damages masks on their way into memory, to study robustness."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch

from vosfw.engine.source import VideoSource
from vosfw.interfaces import Segmenter
from vosfw.types import ObjectMasks

if TYPE_CHECKING:
    import vosfw.engine.engine


Damage: TypeAlias = Callable[[int, ObjectMasks], ObjectMasks]
"""Number of a frame in its video and its predicted masks, to these masks as memory is to get them."""


class Scene(NamedTuple):
    """What an interference may look at before a video is segmented."""

    engine: "vosfw.engine.engine.Engine"
    segmenter: Segmenter[Any]
    video: VideoSource
    device: torch.device | str


@runtime_checkable
class Interference(Protocol):
    """Damages predicted masks before they are remembered, and before they are corrected."""

    source: Segmenter[Any] | str | None
    """Another network that takes part, or what ``vosfw.load`` makes it of; None if there is none."""

    def check(self, scene: Scene) -> None:
        """Refuse a video, network or engine that this cannot be done with; reads no frame and segments nothing.

        Raises:
            VosfwError: Saying what is missing.
        """
        ...

    def start(self, scene: Scene | None) -> Damage:
        """What befalls the masks of one video. No frame of it has been read yet, so all may be, in any order.

        Args:
            scene: None for a session whose frames are not known beforehand: streaming, and training.

        Raises:
            VosfwError: As ``check``, or because the whole video is needed.
        """
        ...


class NoInterference:
    """Damage nothing."""

    source = None

    def check(self, scene: Scene) -> None:
        """Everything is possible."""

    def start(self, scene: Scene | None) -> Damage:
        """Itself: there is nothing to prepare."""
        return self

    def __call__(self, t: int, masks: ObjectMasks) -> ObjectMasks:
        """The same masks."""
        return masks
