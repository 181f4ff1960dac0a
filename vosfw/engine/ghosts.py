"""Ids without a mask, as the released CFBI family treats them."""

from functools import cached_property

import torch
from jaxtyping import Integer
from torch import Tensor

from vosfw.engine.source import VideoSource
from vosfw.errors import ConfigError
from vosfw.types import MAX_SLOTS, VOID, Step


class GhostVideo:
    """A video in which every id up to the largest one seen has a slot; those without a mask are ghosts.

    The released code numbers its channels by id, so that an id that was skipped runs as an empty object, which takes
    part in the background's logit. A ghost is never labelled; a slot's number is its id minus one.

    Args:
        video: With ``ids``, the user's id of each slot.

    Raises:
        ConfigError: If the video does not tell ids, or one is above the number of slots.
    """

    def __init__(self, video: VideoSource) -> None:
        if not hasattr(video, "ids"):
            raise ConfigError("engine.ghost_slots needs a video that tells the ids of its objects (ids)")
        self.video = video
        self.ids: tuple[int, ...] = tuple(video.ids)
        if max(self.ids) > MAX_SLOTS:
            raise ConfigError(
                f"engine.ghost_slots: id {max(self.ids)} is above {MAX_SLOTS}, the most slots there can be"
            )
        self.size, self.wanted, self.frame = video.size, video.wanted, video.frame

    def __len__(self) -> int:
        return len(self.video)

    @cached_property
    def given(self) -> dict[int, tuple[int, ...]]:
        """Slots by frame; a ghost comes with the first larger id."""
        found: dict[int, tuple[int, ...]] = {}
        largest = 0
        for t, slots in sorted(self.video.given.items()):
            ids = [self.ids[slot] for slot in slots]
            ghosts = range(largest + 1, max(ids))
            found[t] = tuple(sorted({id_ - 1 for id_ in (*ids, *ghosts)}))
            largest = max(largest, *ids)
        return found

    def given_mask(self, index: int) -> Integer[Tensor, "Y X"]:
        """Label map of the wide slots."""
        table = torch.arange(256)
        table[1 : len(self.ids) + 1] = torch.tensor(self.ids)
        table[VOID] = VOID
        wide: Tensor = table[self.video.given_mask(index).long()].to(torch.uint8)
        return wide

    def ghosts(self, index: int) -> tuple[int, ...]:
        """Slots that are ghosts in a frame: known by number, without a mask so far."""
        known = {slot for t, slots in self.given.items() if t <= index for slot in slots}
        return tuple(sorted(known - {self.ids[slot] - 1 for slot in self._own(index)}))

    def narrowed(self, step: Step) -> Step:
        """The step as it is published: with the classes of the video's own slots."""
        own = self._own(step.frame)
        shown = torch.tensor([0, *(self.ids[slot] for slot in own)], device=step.logits.device)
        given = None if step.given is None else self.video.given_mask(step.frame)[None].to(step.given.device)
        return step._replace(shown=shown, given=given)

    def _own(self, index: int) -> range:
        known = [slot for t, slots in self.video.given.items() if t <= index for slot in slots]
        return range(1 + max(known, default=-1))
