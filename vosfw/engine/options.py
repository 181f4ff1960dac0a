"""Options of the engine, and what follows from them alone: sizes, and what is published."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from vosfw.engine.augment import Augment
from vosfw.engine.confidence import Confidence, ExpectedOverlap
from vosfw.engine.corrector import Corrector, NoCorrector
from vosfw.engine.geometry import Geometry
from vosfw.engine.interference import Interference, NoInterference
from vosfw.engine.merge import MERGES
from vosfw.engine.policy import IntervalPolicy, Policy
from vosfw.engine.precision import check_precision
from vosfw.engine.reliability import NoReliability, Reliability
from vosfw.errors import ConfigError
from vosfw.interfaces import Grid
from vosfw.types import VOID, Step


class EngineOptions:
    """What moves J&F by tenths is an option here, never a constant.

    Args:
        policy: Which frames are remembered.
        merge: How given masks join predicted ones; see ``vosfw.engine.merge.merge_given``.
        introduce: ``when_given``: an object exists from its first mask on. ``from_start``: every slot of a clip takes
            part from the first frame, empty until given.
        mask_size: Where masks live: ``input``, the padded network input (STM, STCN, PCVOS), or ``original``, the
            video's own size (CFBI family; needs a network with a ``resize`` grid).
        resize_of: What is resized to the original size for publication: ``probs`` (STCN) or ``logits`` (CFBI).
        resize_mode: ``bilinear`` or ``nearest`` (STM with the cyclic mechanism).
        align_corners: Of both resizings of logits and probabilities.
        short_side: Length of the shorter side of the network's input before padding; None keeps the video's size.
        max_side: Upper limit of the longer side.
        letterbox: Height and width that every video is fitted into, aspect kept, with black around (STM with the cyclic
            mechanism: 240, 427); None for none. It takes the place of the two sides above.
        mask_resize: How given masks come to the input's size: ``nearest``, or ``covered``, where a pixel belongs to a
            class only if the class covers it, and on resized borders to none (what that release does by mistake).
        antialias: Low-pass filter when frames are shrunk. Off in the published protocols.
        clip_length: Frames per ``segment`` call; None takes the network's own.
        overlap: Frames of the next clip that a clip is segmented together with, for what they tell of its last ones;
            their own results are thrown away. From 0. Without a refiner it changes nothing. Results come that much
            later.
        precision: Of the network: ``float32`` (the caller's), or ``bfloat16``, about twice as fast where the processor
            has it. What is remembered takes half the room; masks stay float32.
        feedback: What training remembers: ``prediction``, or the ``truth`` (CFBI's first half of training).
        reliability: Filter of kept masks.
        corrector: Correction of remembered masks.
        interference: Damage to predicted masks that are remembered, before they are corrected.
        augment: Scales and flips whose predictions are averaged.
        confidence: Tells how good each mask is likely to be.
        ghost_slots: Give every id up to the largest one seen a slot in ``run``, empty if no mask shows it, as the
            released CFBI family does (``vosfw.engine.ghosts``). Moves results only where ids have holes.

    Raises:
        ConfigError: If an option is not one of the above.
    """

    def __init__(
        self,
        policy: Policy | None = None,
        merge: str = "reaggregate",
        introduce: str = "when_given",
        mask_size: str = "input",
        resize_of: str = "probs",
        resize_mode: str = "bilinear",
        align_corners: bool = False,
        short_side: int | None = None,
        max_side: int | None = None,
        letterbox: Sequence[int] | None = None,
        mask_resize: str = "nearest",
        antialias: bool = False,
        clip_length: int | None = None,
        overlap: int = 0,
        precision: str = "float32",
        feedback: str = "prediction",
        reliability: Reliability | None = None,
        corrector: Corrector | None = None,
        interference: Interference | None = None,
        augment: Augment | None = None,
        confidence: Confidence | None = None,
        ghost_slots: bool = False,
    ) -> None:
        choices: dict[str, tuple[str, tuple[str, ...]]] = {
            "merge": (merge, MERGES),
            "introduce": (introduce, ("when_given", "from_start")),
            "mask_size": (mask_size, ("input", "original")),
            "resize_of": (resize_of, ("probs", "logits")),
            "resize_mode": (resize_mode, ("bilinear", "nearest")),
            "mask_resize": (mask_resize, ("nearest", "covered")),
            "feedback": (feedback, ("prediction", "truth")),
        }
        for name, (got, legal) in choices.items():
            if got not in legal:
                raise ConfigError(f"engine.{name} is {got!r}; wanted one of {', '.join(legal)}")
        for name, number in (("clip_length", clip_length), ("short_side", short_side), ("max_side", max_side)):
            if number is not None and number < 1:
                raise ConfigError(f"engine.{name} is {number}; wanted a whole number from 1, or null")
        if overlap < 0:
            raise ConfigError(f"engine.overlap is {overlap}; wanted a number of frames from 0")
        if letterbox is not None and (len(letterbox) != 2 or min(letterbox) < 1):
            raise ConfigError(f"engine.letterbox is {list(letterbox)}; wanted height and width in pixels, or null")
        if letterbox is not None and mask_size == "original":
            raise ConfigError(
                f"engine.letterbox is {list(letterbox)} and engine.mask_size original, but masks are fitted into that "
                "box with their frames. Set engine.mask_size=input."
            )
        self.policy = policy or IntervalPolicy()
        self.merge: str = merge
        self.introduce = introduce
        self.mask_size = mask_size
        self.resize_of = resize_of
        self.resize_mode = resize_mode
        self.align_corners = align_corners
        self.short_side = short_side
        self.max_side = max_side
        self.letterbox = None if letterbox is None else (letterbox[0], letterbox[1])
        self.mask_resize = mask_resize
        self.antialias = antialias
        self.clip_length = clip_length
        check_precision("engine.precision", precision)
        self.overlap = overlap
        self.precision = precision
        self.feedback = feedback
        self.reliability = reliability or NoReliability()
        self.corrector = corrector or NoCorrector()
        self.interference = interference or NoInterference()
        self.augment = augment or Augment()
        self.confidence = confidence or ExpectedOverlap()
        self.ghost_slots = ghost_slots

    def geometry(self, size: tuple[int, int], grid: Grid) -> Geometry:
        """How frames of ``size`` are fitted to a network's grid."""
        return Geometry.plan(size, grid, short_side=self.short_side, max_side=self.max_side, letterbox=self.letterbox)

    def publish(self, step: Step, geometry: Geometry) -> Float[Tensor, "B O Y X"]:
        """Class probabilities of a step at the video's own size: the only way to measures, files and users."""
        if self.resize_of == "logits" and step.predicted:
            probs = self.fit(step.logits, geometry).softmax(1)
        else:
            probs = self.fit(step.masks.probs, geometry)
        return probs if step.shown is None else probs.index_select(1, step.shown)

    def fit(self, maps: Float[Tensor, "B C H W"], geometry: Geometry) -> Float[Tensor, "B C Y X"]:
        """Maps on the mask grid, cropped and resized to the video's own size."""
        if self.mask_size == "input":
            maps = geometry.crop(maps)
        return self.resize(maps, geometry.original)

    def resize(self, maps: Float[Tensor, "B C h w"], size: tuple[int, int]) -> Float[Tensor, "B C Y X"]:
        """Maps at ``size``, by the engine's options; the maps themselves when they fit."""
        if maps.shape[-2:] == size:
            return maps
        align = self.align_corners if self.resize_mode == "bilinear" else None
        return F.interpolate(maps, size, mode=self.resize_mode, align_corners=align)

    def labels(self, step: Step, geometry: Geometry) -> Integer[Tensor, "B Y X"]:
        """The published label map of a step: slot + 1, 0 background, uint8."""
        return self.label_map(step, self.publish(step, geometry))

    def label_map(self, step: Step, probs: Float[Tensor, "B O Y X"]) -> Integer[Tensor, "B Y X"]:
        """The same from published probabilities. Pixels that were given are copied, whatever the input size was."""
        # On a CPU an order of magnitude faster than argmax, with the same result.
        labels = probs.max(1).indices.to(torch.uint8)
        if step.given is None or (step.predicted and self.merge == "replace_in_memory"):
            return labels
        given = torch.where(step.given == VOID, 0, step.given).to(torch.uint8)
        return torch.where(given > 0, given, labels) if step.predicted else given
