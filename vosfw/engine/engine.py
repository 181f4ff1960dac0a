"""The one loop of training, evaluation and streaming."""

import inspect
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vosfw.engine.cycle import reconstruct
from vosfw.engine.ghosts import GhostVideo
from vosfw.engine.interference import Damage, NoInterference, Scene
from vosfw.engine.options import EngineOptions
from vosfw.engine.precision import arithmetic
from vosfw.engine.source import VideoSource
from vosfw.engine.stream import Stream
from vosfw.errors import ConfigError
from vosfw.interfaces import Segmenter
from vosfw.types import Clip, Features, Step

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
        device = self.features.frames.device
        with arithmetic(engine.precision, device):
            first = segmenter.prepare(self.features.at(0), read=True)
        for step in steps:
            with arithmetic(engine.precision, device):
                logits = reconstruct(segmenter, self.features.at(step.frame), step.masks, first)
            size = (step.masks.probs.shape[-2], step.masks.probs.shape[-1])
            yield engine.fit(engine.resize(logits, size), self.stream.geometry)


class Engine(EngineOptions):
    """Propagates masks through a video; its options are those of ``EngineOptions``."""

    def replace(self, **options: Any) -> "Engine":
        """A copy with other options."""
        names = inspect.signature(Engine).parameters
        if unknown := set(options) - set(names):
            raise ConfigError(f"engine has no option {', '.join(sorted(unknown))}; wanted some of {', '.join(names)}")
        return Engine(**{name: options.get(name, getattr(self, name)) for name in names})

    def check(self, segmenter: Segmenter[Any]) -> Segmenter[Any]:
        """Refuse a network that these options cannot go with, before anything is read or written.

        Returns:
            The network as the loop sees it, augmented if ``augment`` says so.

        Raises:
            ConfigError: Naming the option, what the network is, and what to set.
        """
        self.corrector.check(segmenter)
        length = self.clip_length or segmenter.clip_length
        if segmenter.sequential and (length > 1 or self.overlap):
            raise ConfigError(
                f"engine.clip_length is {length} and engine.overlap {self.overlap}, but this "
                f"{type(segmenter).__name__} goes on from frame to frame: set them to 1 and 0"
            )
        augmented = self.augment(segmenter)
        multiple, mode, _ = augmented.grid
        if self.mask_size == "original" and mode == "pad" and multiple > 1:
            raise ConfigError(
                f"engine.mask_size=original, but this {type(segmenter).__name__} pads frames to multiples of "
                f"{multiple} pixels and needs its masks there. Set engine.mask_size=input."
            )
        return augmented

    def stream(self, segmenter: Segmenter[Any], size: tuple[int, int], damage: Damage | None = None) -> Stream:
        """An empty session on a video of ``size`` (height, width), to be fed frame by frame.

        Args:
            segmenter: The network.
            size: Of the video's frames.
            damage: What befalls remembered masks; None for what ``interference`` can do without the whole video.
        """
        segmenter = self.check(segmenter)
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
        with arithmetic(self.precision, frames.device):
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

        Frames before the first given one are not predicted and yield no step, nor do frames that are not wanted, unless
        ``policy.process_unwanted`` has them predicted.

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
