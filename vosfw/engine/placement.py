"""Frames and given masks of a video, fitted to a network."""

from typing import TYPE_CHECKING, Any

from jaxtyping import Bool, Integer, Shaped
from torch import Tensor

from vosfw.engine.geometry import Geometry
from vosfw.engine.records import GivenMasks
from vosfw.interfaces import Segmenter
from vosfw.types import ObjectMasks

if TYPE_CHECKING:
    import vosfw.engine.engine


class Placement:
    """Brings what a session is fed with to the sizes that engine and network work at.

    Args:
        engine: Its options say how.
        segmenter: The network.
        geometry: Of the video.
    """

    def __init__(self, engine: "vosfw.engine.engine.Engine", segmenter: Segmenter[Any], geometry: Geometry) -> None:
        self.engine = engine
        self.segmenter = segmenter
        self.geometry = geometry

    def place_frames(self, frames: Shaped[Tensor, "B 3 Y X"]) -> Tensor:
        """Frames (uint8, or float in 0..1) at the network's input size."""
        if not frames.is_floating_point():
            frames = frames.float() / 255
        color = self.segmenter.pad_color if self.engine.letterbox is None else (0.0, 0.0, 0.0)
        return self.geometry.place_frames(frames, color, antialias=self.engine.antialias)

    def place_given(self, labels: Integer[Tensor, "B Y X"], given: Bool[Tensor, "B K"]) -> ObjectMasks:
        """A label map of the video's size as one-hot masks on the mask grid."""
        if self.engine.mask_size == "original":
            return ObjectMasks.from_labels(labels, given)
        if self.engine.mask_resize == "nearest":
            return ObjectMasks.from_labels(self.geometry.place_labels(labels), given)
        masks = ObjectMasks.from_labels(labels, given)
        # The tolerance is rounding's: weights of a bilinear mean sum to one but for it.
        probs = (self.geometry.place_probs(masks.probs) + 1e-4).floor()
        return ObjectMasks(probs, given, self.geometry.place_probs(masks.weight))

    def hand_over(
        self, labels: Integer[Tensor, "B Y X"], given: Bool[Tensor, "B K"], *, introduces: bool, complete: bool
    ) -> GivenMasks:
        """Masks for ``push``, from a label map of the video's size that shows no slots but the given ones."""
        return GivenMasks(self.place_given(labels, given), labels, introduces, complete)
