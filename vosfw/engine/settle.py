"""What is published and what is remembered of a predicted frame."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vosfw.engine.cycle import KnownFrame, as_distribution
from vosfw.engine.merge import as_logits, merge_given
from vosfw.engine.records import Entry
from vosfw.types import Features, ObjectMasks

if TYPE_CHECKING:
    import vosfw.engine.stream


class Settled(NamedTuple):
    """A predicted frame after given masks, interference and correction."""

    logits: Float[Tensor, "B O Y X"]
    published: ObjectMasks
    remembered: ObjectMasks
    reference: KnownFrame | tuple[()]
    """The latest given frame, if the corrector needs it."""


def settle(
    stream: "vosfw.engine.stream.Stream",
    entry: Entry,
    features: Features,
    logits: Float[Tensor, "B O Y X"],
    *,
    remember: bool,
) -> Settled:
    """What becomes of a prediction.

    Args:
        stream: The session, before the frame.
        entry: The frame.
        features: Its features.
        logits: The prediction, on the mask grid.
        remember: Whether memory gets the masks.
    """
    engine, state = stream.engine, stream.known
    probs = logits.float().softmax(1)
    if stream.ghosts:
        probs = probs.index_fill(1, torch.tensor(stream.ghosts, device=probs.device) + 1, 0.0)
    published = ObjectMasks(probs, state.valid, torch.ones_like(probs[:, :1]))
    remembered, reference = published, state.reference
    if entry.given is not None:
        published, remembered = merge_given(published, entry.given.masks, engine.merge)
        logits = as_logits(published)
    if entry.truth is not None:
        remembered = entry.truth._replace(valid=remembered.valid)
    elif entry.given is None:
        if remember:
            remembered = stream.damage(entry.t, remembered)
        corrector = engine.corrector
        due = corrector.due(entry.t - stream.first_frame) and (remember or corrector.publishes)
        if due and isinstance(reference, KnownFrame):
            remembered = corrector(stream.segmenter, features, remembered, reference, engine.resize)
            if corrector.publishes:
                published = as_distribution(remembered)
                logits = as_logits(published)
    if entry.given is not None and engine.corrector.needs_reference:
        # Views would keep the features of the whole span alive.
        reference = KnownFrame(features.copy(), remembered)
    return Settled(logits, published, remembered, reference)
