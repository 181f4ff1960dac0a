"""One session on one video: frames in, steps out, span by span."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vosfw.engine.cycle import KnownFrame
from vosfw.engine.geometry import Geometry
from vosfw.engine.interference import Damage
from vosfw.engine.merge import as_logits, first_masks
from vosfw.engine.placement import Placement
from vosfw.engine.precision import arithmetic
from vosfw.engine.records import EngineState, Entry, GivenMasks, Pending
from vosfw.engine.settle import settle
from vosfw.errors import ConfigError
from vosfw.interfaces import Segmenter
from vosfw.types import Features, ObjectMasks, Step

if TYPE_CHECKING:
    import vosfw.engine.engine


class Stream(Placement):
    """Feeds a network frame by frame, in spans of its clip length.

    A span ends with a frame that comes with masks; a frame whose every object is given is a span of its own and is not
    segmented. Frames before the first given one yield nothing. With ``engine.overlap`` a span waits for the first
    frames of the next one and is segmented together with them; nothing is looked at beyond a frame with masks.
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
        super().__init__(engine, segmenter, geometry)
        self.damage = damage or engine.interference.start(None)
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

    def needs(self, *, given: bool, wanted: bool) -> bool:
        """Whether the next frame would be looked at; if not, ``skip`` spares reading it."""
        if given or not self.started:
            return given
        unwanted = self.engine.policy.process_unwanted
        return wanted or unwanted == "all" or (bool(unwanted) and self._keeps(given=False, introduces=False))

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
        if given is not None:
            yield from self.flush()
        elif len(self.entries) == self.clip_length + self.engine.overlap:
            yield from self._advance()

    def flush(self) -> Iterator[Step]:
        """Segment the frames that wait."""
        while self.entries:
            yield from self._advance()

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
            t - self.first_frame,
            since_keep=t - self.last_kept,
            clip_length=self.clip_length,
            given=given,
            introduces=introduces,
        )

    def _encode(self, entries: tuple[Entry, ...]) -> Features:
        """Features of all frames; those that were seen ahead of their span have theirs, and come first."""
        new = [entry.frame for entry in entries if entry.frame is not None]
        parts = [entry.features for entry in entries if entry.features is not None]
        if new:
            with self._arithmetic(new[0]):
                parts.append(self.segmenter.encode(torch.stack(new, 1)))
        return Features.joined(parts)

    def _commit(self) -> None:
        """Write the frames of the last span to memory."""
        if self.state is None or not self.state.pending:
            return
        network = self.state.network
        for pending in self.state.pending:
            masks = self.engine.reliability(pending.masks) if pending.keep else pending.masks
            with self._arithmetic(masks.probs):
                network = self.segmenter.memorize(pending.features, masks, network, keep=pending.keep)
        self.state = self.state._replace(network=network, pending=())

    def _advance(self) -> Iterator[Step]:
        """Deal with the oldest span that waits."""
        self._commit()
        entries, ahead = self.entries[: self.clip_length], self.entries[self.clip_length :]
        features = self._encode(entries)
        if ahead:
            # On their own, so that they do not keep this span's features alive.
            seen = self._encode(ahead)
            ahead = tuple(entry._replace(frame=None, features=seen.at(i)) for i, entry in enumerate(ahead))
            features = Features.joined([features, seen])
        self.entries = ahead
        given = entries[0].given
        if given is not None and given.complete:
            yield self._take_given(entries[0], features, given)
            return
        state = self.known
        with self._arithmetic(features.frames):
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
            with self._arithmetic(features.frames):
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
        return Step(entry.t, as_logits(masks), masks, False, self.state.network, given.labels)

    def _take_predicted(self, entry: Entry, features: Features, logits: Tensor, *, end_of_span: bool) -> Step:
        state = self.known
        # The network must hear of a new object, whatever the policy.
        introduces = entry.given is not None and entry.given.introduces
        remember = entry.keep or introduces or (end_of_span and self.engine.policy.recent)
        with self._arithmetic(logits):
            logits, published, remembered, reference = settle(self, entry, features, logits, remember=remember)
        pending = state.pending
        if remember:
            pending = (*pending, Pending(features, remembered, entry.keep))
        self.state = state._replace(valid=remembered.valid, pending=pending, reference=reference)
        labels = None if entry.given is None else entry.given.labels
        return Step(entry.t, logits, published, True, state.network, labels)

    def _arithmetic(self, x: Tensor) -> AbstractContextManager[object]:
        return arithmetic(self.engine.precision, x.device)

    @property
    def known(self) -> EngineState:
        """What is remembered, once the session has started."""
        if self.state is None:
            raise ConfigError("the first frame of a session must come with the masks of its objects")
        return self.state
