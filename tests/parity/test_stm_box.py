"""Boxes of masks against the released STM-cycle helper."""

import numpy as np
import torch
from torch.nn import functional as F

from vosfw.engine.interference.box import Box
from vosfw.ops.boxes import filled_boxes
from vosfw.types import ObjectMasks

SLOTS = 3


def test_boxes_are_the_released_ones(golden):
    with np.load(golden / "stm_cycle" / "modules.npz") as modules:
        labels, wanted = torch.from_numpy(modules["labels"][:1]), torch.from_numpy(modules["box/out"])
    one_hot = F.one_hot(labels.long(), SLOTS + 1).movedim(-1, 1)
    assert torch.equal(filled_boxes(one_hot), wanted > 0)
    assert (wanted[:, 1:3].flatten(2).any(2)).all() and not wanted[:, 3].any()
    masks = ObjectMasks.from_labels(labels, torch.ones(1, SLOTS, dtype=torch.bool))
    boxed = Box().boxed(masks, masks.probs).probs
    assert torch.equal(boxed[:, 1:], (wanted[:, 1:] > 0).float())
    # The released background is a box like the others, and never read; here it is what is left.
    assert torch.equal(boxed[:, 0] > 0, ~(wanted[:, 1:] > 0).any(1))
