"""The one loop of training, evaluation and streaming."""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from vosfw.engine.augment import Augment
from vosfw.engine.confidence import Confidence, ExpectedOverlap
from vosfw.engine.corrector import Corrector, NoCorrector
from vosfw.engine.cycle import reconstruct
from vosfw.engine.geometry import Geometry
from vosfw.engine.ghosts import GhostVideo
from vosfw.engine.interference import Damage, Interference, NoInterference, Scene
from vosfw.engine.merge import MERGES
from vosfw.engine.policy import IntervalPolicy, Policy
from vosfw.engine.reliability import NoReliability, Reliability
from vosfw.engine.source import VideoSource
from vosfw.engine.stream import Stream
from vosfw.errors import ConfigError
from vosfw.interfaces import Grid, Segmenter
from vosfw.types import VOID, Clip, Features, Step

__all__ = ["Engine", "Rollout", "VideoSource"]


class Rollout(NamedTuple):
    """What a loss sees of one training clip."""

    segmenter: Segmenter[Any]
    engine: "Engine"
    steps: tuple[Step, ...]
    """Predicted frames only; their logits are at the clip's label size."""
    features: Features
    """Of all frames of the clip."""
    stream: Stream
    """The session that made the steps."""

    def reconstruct(self, steps: Iterable[Step]) -> Iterator[Float[Tensor, "B O Y X"]]:
        """Logits of the clip's first frame, at label size, from the frame and soft masks of each step alone."""
        engine, segmenter = self.engine, self.stream.segmenter
        first = segmenter.prepare(self.features.at(0), read=True)
        for step in steps:
            logits = reconstruct(segmenter, self.features.at(step.frame), step.masks, first)
            size = (step.masks.probs.shape[-2], step.masks.probs.shape[-1])
            yield engine.fit(engine.resize(logits, size), self.stream.geometry)


class Engine:
    """Propagates masks through a video. What moves J&F by tenths is an option here, never a constant.

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
        if letterbox is not None and (len(letterbox) != 2 or min(letterbox) < 1):
            raise ConfigError(f"engine.letterbox is {list(letterbox)}; wanted height and width in pixels, or null")
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
        self.feedback = feedback
        self.reliability = reliability or NoReliability()
        self.corrector = corrector or NoCorrector()
        self.interference = interference or NoInterference()
        self.augment = augment or Augment()
        self.confidence = confidence or ExpectedOverlap()
        self.ghost_slots = ghost_slots

    def replace(self, **options: Any) -> "Engine":
        """A copy with other options."""
        names = inspect.signature(Engine).parameters
        if unknown := set(options) - set(names):
            raise ConfigError(f"engine has no option {', '.join(sorted(unknown))}; wanted some of {', '.join(names)}")
        return Engine(**{name: options.get(name, getattr(self, name)) for name in names})

    def geometry(self, size: tuple[int, int], grid: Grid) -> Geometry:
        """How frames of ``size`` are fitted to a network's grid."""
        geometry = Geometry.plan(
            size, grid, short_side=self.short_side, max_side=self.max_side, letterbox=self.letterbox
        )
        if self.mask_size == "original" and any(geometry.margins):
            raise ConfigError(
                f"engine.mask_size=original, but this network pads {geometry.resized} to {geometry.padded} pixels and "
                "needs its masks there. Set engine.mask_size=input."
            )
        return geometry

    def stream(self, segmenter: Segmenter[Any], size: tuple[int, int], damage: Damage | None = None) -> Stream:
        """An empty session on a video of ``size`` (height, width), to be fed frame by frame.

        Args:
            segmenter: The network.
            size: Of the video's frames.
            damage: What befalls remembered masks; None for what ``interference`` can do without the whole video.
        """
        self.corrector.check(segmenter)
        segmenter = self.augment(segmenter)
        return Stream(self, segmenter, self.geometry(size, segmenter.grid), damage)

    def propagate(self, segmenter: Segmenter[Any], clip: Clip) -> Iterator[Step]:
        """Segment a training batch, encoded once; gradients flow through predicted masks as far as the network lets.

        Args:
            segmenter: The network.
            clip: Frames and the given masks; frames and labels of equal size.

        Yields:
            A step per frame, with logits and masks on the mask grid (``publish`` brings them to label size).
        """
        stream = self.stream(segmenter, (clip.labels.shape[-2], clip.labels.shape[-1]))
        yield from self._propagate(stream, self._encode(stream, clip), clip)

    def _encode(self, stream: Stream, clip: Clip) -> Features:
        frames = stream.place_frames(clip.frames.flatten(0, 1)).unflatten(0, clip.frames.shape[:2])
        return stream.segmenter.encode(frames)

    def _propagate(self, stream: Stream, features: Features, clip: Clip) -> Iterator[Step]:
        # The only transfer to the host: which frames are given decides the course of the loop.
        given, valid, wanted = clip.given.cpu(), clip.valid.cpu(), clip.wanted.any(0).tolist()
        seen = torch.zeros_like(valid)
        for t in range(clip.frames.shape[1]):
            masks = None
            if given[:, t].any():
                known, seen = seen, seen | given[:, t]
                masks = stream.hand_over(
                    clip.labels[:, t],
                    clip.given[:, t],
                    introduces=bool((seen & ~known).any()),
                    complete=bool((given[:, t] == seen).all()),
                )
                if self.introduce == "from_start" and not bool(known.any()):
                    masks = masks.with_slots(clip.valid)
            truth = stream.place_given(clip.labels[:, t], clip.valid) if self.feedback == "truth" else None
            yield from stream.push(features=features.at(t), given=masks, wanted=wanted[t], truth=truth)
        yield from stream.flush()

    def run(
        self,
        segmenter: Segmenter[Any],
        video: VideoSource,
        device: torch.device | str,
        stream: Stream | None = None,
    ) -> Iterator[Step]:
        """Segment a video that is read as the loop goes on; call under ``torch.no_grad()``.

        Frames before the first given one are not predicted and yield no step, nor do frames that are not wanted.

        Args:
            segmenter: The network.
            video: The video.
            device: Where the network is.
            stream: An empty session to be used in place of a new one.
        """
        if stream is None:
            stream = self.stream(segmenter, video.size, NoInterference())
            stream.damage = self.interference.start(Scene(self, segmenter, video, device))
        ghosts = GhostVideo(video) if self.ghost_slots else None
        video = ghosts or video
        schedule = video.given
        total = 1 + max((max(new) for new in schedule.values()), default=-1)
        seen = set[int]()
        for t in range(len(video)):
            new = schedule.get(t, ())
            if not stream.needs(given=bool(new), wanted=video.wanted[t]):
                stream.skip()
                continue
            given = None
            if new:
                start, known = not seen, len(seen)
                seen |= set(new)
                mask = torch.zeros(1, total if self.introduce == "from_start" else max(seen) + 1, dtype=torch.bool)
                mask[0, list(new)] = True
                given = stream.hand_over(
                    video.given_mask(t)[None].to(device),
                    mask.to(device),
                    introduces=len(seen) > known,
                    complete=set(new) == seen,
                )
                if start and self.introduce == "from_start":
                    given = given.with_slots(torch.ones_like(mask).to(device))
            frame = stream.place_frames(video.frame(t)[None].to(device))
            steps = stream.push(frame, given=given, wanted=video.wanted[t])
            if ghosts is None:
                yield from steps
            else:
                yield from (ghosts.narrowed(step) for step in steps)
                # A span that is flushed by this frame's masks did not know them yet.
                stream.ghosts = ghosts.ghosts(t)
        yield from stream.flush() if ghosts is None else (ghosts.narrowed(step) for step in stream.flush())

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

    def rollout(self, segmenter: Segmenter[Any], clip: Clip) -> Rollout:
        """All predicted frames of a training clip, logits at label size."""
        stream = self.stream(segmenter, (clip.labels.shape[-2], clip.labels.shape[-1]))
        features = self._encode(stream, clip)
        steps = tuple(
            step._replace(logits=self.fit(step.logits, stream.geometry))
            for step in self._propagate(stream, features, clip)
            if step.predicted
        )
        return Rollout(segmenter, self, steps, features, stream)
