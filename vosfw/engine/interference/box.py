"""Boxes for masks."""

import torch
from jaxtyping import Float
from torch import Tensor

from vosfw.engine.interference import Damage, Scene
from vosfw.engine.interference.plan import labelled, no_streaming, remembered_frames, without_truth
from vosfw.errors import ConfigError
from vosfw.ops.boxes import filled_boxes
from vosfw.types import ObjectMasks

OVERLAPS = ("all", "smaller")
MISSING = ("error", "prediction")


class Box:
    """Memory gets each object's filled bounding box in the true mask (Li et al., IJCV 2022, "box template").

    Boxes are taken on the mask grid, corners included. An object that is not visible has an empty one. The background
    is what no box covers, where the released code also boxes the background (STM never reads it). Pixels that are given
    stay given: masks of frames that came with some are not touched.

    Args:
        overlap: Pixels in several boxes: ``all``, each of the objects has them (as released; networks that harden masks
            give them to the first slot), or ``smaller``, the object with the smallest box, the first slot on a tie.
        missing: Frames without a true mask: ``error``, or ``prediction``, the boxes of the predicted mask, hardened.

    Raises:
        ConfigError: If a choice is unknown.
    """

    source = None

    def __init__(self, overlap: str = "all", missing: str = "error") -> None:
        for name, got, legal in (("overlap", overlap, OVERLAPS), ("missing", missing, MISSING)):
            if got not in legal:
                raise ConfigError(f"engine.interference.{name} is {got!r}; wanted {' or '.join(legal)}")
        self.overlap = overlap
        self.missing = missing

    def check(self, scene: Scene) -> None:
        """See ``Interference.check``.

        Raises:
            DatasetError: If a frame that memory gets has no true mask, and ``missing`` is ``error``.
        """
        video = labelled(scene, "box")
        if self.missing == "error":
            lacking = tuple(t for t in remembered_frames(scene) if t not in video.annotated)
            if lacking:
                advice = ", or set engine.interference.missing=prediction for the boxes of predicted masks"
                raise without_truth(video, lacking, "box", advice)

    def start(self, scene: Scene | None) -> Damage:
        """See ``Interference.start``; without a scene there are boxes of predictions only."""
        if scene is None:
            if self.missing == "error":
                raise no_streaming("box with missing=error", "true masks")
            return lambda t, masks: self.boxed(masks, hardened(masks))
        self.check(scene)
        video, stream = labelled(scene, "box"), scene.engine.stream(scene.segmenter, scene.video.size, _unchanged)

        def damage(t: int, masks: ObjectMasks) -> ObjectMasks:
            truth = video.truth(t)
            if truth is None:
                return self.boxed(masks, hardened(masks))
            return self.boxed(masks, stream.place_given(truth[None].to(masks.probs.device), masks.valid).probs)

        return damage

    def boxed(self, masks: ObjectMasks, shapes: Float[Tensor, "B O Y X"]) -> ObjectMasks:
        """``masks`` with the boxes of one-hot ``shapes`` (background first) in their place."""
        boxes = filled_boxes(shapes[:, 1:]) & masks.valid[:, :, None, None]
        if self.overlap == "smaller" and boxes.shape[1]:
            size = torch.where(boxes, boxes.sum((2, 3), keepdim=True), boxes[0, 0].numel() + 1)
            first = torch.zeros_like(boxes).scatter_(1, size.argmin(1, keepdim=True), True)
            boxes = boxes & first
        probs = torch.cat([~boxes.any(1, keepdim=True), boxes], 1)
        return masks._replace(probs=probs.to(masks.probs.dtype))


def hardened(masks: ObjectMasks) -> Float[Tensor, "B O Y X"]:
    """The most likely class of each pixel, one-hot."""
    return torch.zeros_like(masks.probs).scatter_(1, masks.probs.max(1, keepdim=True).indices, 1.0)


def _unchanged(t: int, masks: ObjectMasks) -> ObjectMasks:
    return masks
