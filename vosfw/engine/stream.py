"""One session on one video: frames in, steps out, span by span."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Integer, Shaped
from torch import Tensor

from vosfw.engine.cycle import KnownFrame, as_distribution
from vosfw.engine.geometry import Geometry
from vosfw.engine.interference import Damage
from vosfw.engine.merge import first_masks, merge_given
from vosfw.errors import ConfigError
from vosfw.interfaces import Segmenter
from vosfw.ops.aggregate import UNUSED_LOGIT
from vosfw.types import Features, ObjectMasks, Step

if TYPE_CHECKING:
    import vosfw.engine.engine


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
    """A frame that waits for its span to be complete."""

    t: int
    frame: Tensor | None
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


class Stream:
    """Feeds a network frame by frame, in spans of its clip length.

    A span ends with a frame that comes with masks; a frame whose every object is given is a span of its own and is not
    segmented. Frames before the first given one yield nothing.
    """

    REMEMBERED = ("state", "next_frame", "first_frame", "last_kept", "entries")
    """Attributes that make a session; the others follow from engine, network and size."""

    def __init__(
        self,
        engine: "vosfw.engine.engine.Engine",
        segmenter: Segmenter[Any],
        geometry: Geometry,
        damage: Damage | None = None,
    ) -> None:
        self.engine = engine
        self.damage = damage or engine.interference.start(None)
        self.segmenter = segmenter
        self.geometry = geometry
        self.clip_length = engine.clip_length or segmenter.clip_length
        self.state: EngineState | None = None
        self.next_frame = 0
        self.first_frame = 0
        self.last_kept = 0
        self.entries: tuple[Entry, ...] = ()
        self.ghosts: tuple[int, ...] = ()
        """Slots that are never labelled; see ``vosfw.engine.ghosts``."""

    @property
    def started(self) -> bool:
        """Whether a first mask was given."""
        return self.state is not None or bool(self.entries)

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

    def needs(self, *, given: bool, wanted: bool) -> bool:
        """Whether the next frame would be looked at; if not, ``skip`` spares reading it."""
        if given or not self.started:
            return given
        return wanted or (self.engine.policy.process_unwanted and self._keeps(given=False, introduces=False))

    def skip(self) -> None:
        """Pass over a frame."""
        self.next_frame += 1

    def push(
        self,
        frame: Tensor | None = None,
        *,
        features: Features | None = None,
        given: GivenMasks | None = None,
        wanted: bool = True,
        truth: ObjectMasks | None = None,
    ) -> Iterator[Step]:
        """Take in the next frame and yield the steps that are now complete.

        Args:
            frame: Float [B, 3, H, W] at input size (``place_frames``), or:
            features: The same, encoded (T = 1).
            given: Masks handed over with it.
            wanted: Whether the frame is to be predicted.
            truth: What memory gets in place of the prediction (``feedback=truth``).
        """
        if (frame is None) == (features is None):
            raise ConfigError("Stream.push takes either a frame or its features")
        if not self.needs(given=given is not None, wanted=wanted):
            self.skip()
            return
        t = self.next_frame
        if not self.started:
            self.first_frame = self.last_kept = t
        keep = self._keeps(given=given is not None, introduces=given is not None and given.introduces)
        self.next_frame += 1
        if keep:
            self.last_kept = t
        if given is not None and given.complete:
            yield from self.flush()
        self.entries = (*self.entries, Entry(t, frame, features, given, truth, keep))
        if given is not None or len(self.entries) == self.clip_length:
            yield from self.flush()

    def flush(self) -> Iterator[Step]:
        """Segment the frames that wait for a full span."""
        entries, self.entries = self.entries, ()
        if entries:
            yield from self._advance(entries)

    def remove(self, slot: int) -> None:
        """Forget an object; frames not yet segmented no longer show it. Its slot is never used again."""
        if self.state is None:
            raise ConfigError("no object to remove: the session has not started")
        # Frames that wait to be written may hold slots that the network has not seen yet.
        self._commit()
        keep = torch.ones_like(self.state.valid[0])
        keep[slot] = False
        self.state = self.state._replace(
            valid=self.state.valid & keep, network=self.segmenter.remove(self.state.network, keep)
        )

    def _keeps(self, *, given: bool, introduces: bool) -> bool:
        t = self.next_frame
        return self.engine.policy.keeps(
            t - self.first_frame, since_keep=t - self.last_kept, given=given, introduces=introduces
        )

    def _encode(self, entries: tuple[Entry, ...]) -> Features:
        if entries[0].frame is not None:
            return self.segmenter.encode(torch.stack([entry.frame for entry in entries if entry.frame is not None], 1))
        known = [entry.features for entry in entries if entry.features is not None]
        if len(known) == 1:
            return known[0]
        levels = tuple(torch.cat(level, 1) for level in zip(*(f.levels for f in known), strict=True))
        return Features(torch.cat([f.frames for f in known], 1), levels)

    def _commit(self) -> None:
        """Write the frames of the last span to memory."""
        if self.state is None or not self.state.pending:
            return
        network = self.state.network
        for pending in self.state.pending:
            masks = self.engine.reliability(pending.masks) if pending.keep else pending.masks
            network = self.segmenter.memorize(pending.features, masks, network, keep=pending.keep)
        self.state = self.state._replace(network=network, pending=())

    def _advance(self, entries: tuple[Entry, ...]) -> Iterator[Step]:
        self._commit()
        features = self._encode(entries)
        given = entries[0].given
        if given is not None and given.complete:
            yield self._take_given(entries[0], features, given)
            return
        state = self._state()
        logits, network = self.segmenter.segment(features, state.network)
        self.state = state._replace(network=network)
        mass = self.segmenter.affinity_mass(network)
        size = features.frames.shape[-2:] if self.engine.mask_size == "input" else self.geometry.original
        for i, entry in enumerate(entries):
            frame_logits = self.engine.resize(logits[:, i], (size[0], size[1]))
            end = i == len(entries) - 1
            step = self._take_predicted(entry, features.at(i), frame_logits, end_of_span=end)
            yield step if mass is None else step._replace(mass=mass[:, i])

    def _take_given(self, entry: Entry, features: Features, given: GivenMasks) -> Step:
        """A frame whose every object is given: the start of the session, or one more reference."""
        masks = first_masks(given.masks, self.engine.merge)
        reference = KnownFrame(features, masks) if self.engine.corrector.needs_reference else ()
        if self.state is None:
            network = self.segmenter.init_state(features, self.engine.reliability(masks), keep=entry.keep)
            self.state = EngineState(network, masks.valid, (), reference)
        else:
            state = self.state
            # Removed objects take part in no frame, so a complete frame may still have fewer slots than the session.
            masks = masks.grow(state.valid.shape[1])
            # Slots that wait, empty, for their masks (introduce=from_start) go on waiting.
            masks = masks._replace(valid=masks.valid | state.valid)
            remember = entry.keep or given.introduces or self.engine.policy.recent
            pending = (Pending(features, masks, entry.keep),) if remember else ()
            self.state = state._replace(valid=masks.valid, pending=pending, reference=reference)
        return Step(entry.t, _log(masks), masks, False, self.state.network, given.labels)

    def _take_predicted(self, entry: Entry, features: Features, logits: Tensor, *, end_of_span: bool) -> Step:
        engine, state = self.engine, self._state()
        probs = logits.float().softmax(1)
        if self.ghosts:
            probs = probs.index_fill(1, torch.tensor(self.ghosts, device=probs.device) + 1, 0.0)
        published = ObjectMasks(probs, state.valid, torch.ones_like(probs[:, :1]))
        remembered, reference = published, state.reference
        if entry.given is not None:
            published, remembered = merge_given(published, entry.given.masks, engine.merge)
            logits = _log(published)
        # The network must hear of a new object, whatever the policy.
        introduces = entry.given is not None and entry.given.introduces
        remember = entry.keep or introduces or (end_of_span and engine.policy.recent)
        if entry.truth is not None:
            remembered = entry.truth._replace(valid=remembered.valid)
        elif entry.given is None:
            if remember:
                remembered = self.damage(entry.t, remembered)
            corrector = engine.corrector
            due = corrector.due(entry.t - self.first_frame) and (remember or corrector.publishes)
            if due and isinstance(reference, KnownFrame):
                remembered = corrector(self.segmenter, features, remembered, reference, engine.resize)
                if corrector.publishes:
                    published = as_distribution(remembered)
                    logits = _log(published)
        if entry.given is not None and engine.corrector.needs_reference:
            reference = KnownFrame(features, remembered)
        pending = state.pending
        if remember:
            pending = (*pending, Pending(features, remembered, entry.keep))
        self.state = state._replace(valid=remembered.valid, pending=pending, reference=reference)
        labels = None if entry.given is None else entry.given.labels
        return Step(entry.t, logits, published, True, state.network, labels)

    def _state(self) -> EngineState:
        if self.state is None:
            raise ConfigError("the first frame of a session must come with the masks of its objects")
        return self.state


def _log(masks: ObjectMasks) -> Tensor:
    """Logits whose softmax gives the masks."""
    return masks.probs.log().clamp_min(UNUSED_LOGIT)
