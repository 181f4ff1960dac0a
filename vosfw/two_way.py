"""Propagation in both directions, merged by distance in time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vosfw.data.files import replacing

LEVELS = 255
"""Steps of a stored probability."""


class TwoWay:
    """Keeps the backward run's probabilities on disk until the forward run comes by.

    Between two frames ``a < b`` that came with masks, an object's probability in frame ``t`` is the mean of both runs
    with the weights ``(b - t) / (b - a)`` of the forward run, which starts at ``a``, and ``(t - a) / (b - a)`` of the
    backward run, which starts at ``b``: the nearer mask counts more. An object that only one run knows is that run's
    business. Before the first given frame the backward run alone counts, behind the last one the forward run.

    Args:
        folder: Where to keep them; each frame takes some ten kilobytes.
        given: Frames that came with masks.
    """

    def __init__(self, folder: Path, given: Sequence[int]) -> None:
        self.folder = folder
        self.given = sorted(given)

    def needs_both(self, t: int) -> bool:
        """Whether a frame lies between given ones."""
        return self.given[0] < t < self.given[-1] and t not in self.given

    def keep(self, t: int, ids: Sequence[int], scores: Float[Tensor, "O Y X"]) -> None:
        """Store the backward run's class probabilities of a frame; row 0 is the background."""
        levels = scores.float().mul(LEVELS).round().to(torch.uint8).cpu().numpy()
        with replacing(self.folder / f"{t}.npz") as draft, draft.open("wb") as file:
            np.savez_compressed(file, levels=levels, ids=np.array(ids, np.int64))

    def merge(self, t: int, ids: Sequence[int], scores: Float[Tensor, "O Y X"]) -> Integer[np.ndarray, "Y X"]:
        """Ids per pixel of a frame between given ones, from both runs."""
        with np.load(self.folder / f"{t}.npz") as stored:
            levels, others = torch.from_numpy(stored["levels"]), stored["ids"].tolist()
        before, after = max(a for a in self.given if a < t), min(b for b in self.given if b > t)
        share = (after - t) / (after - before)
        forward = dict(zip((0, *ids), scores.float().cpu(), strict=True))
        backward = dict(zip((0, *others), levels.float() / LEVELS, strict=True))
        every = sorted(forward.keys() | backward.keys())
        rows = [
            share * forward[id_] + (1 - share) * backward[id_]
            if id_ in forward and id_ in backward
            else forward.get(id_, backward.get(id_))
            for id_ in every
        ]
        table = np.array(every).astype(np.uint8 if max(every) < 256 else np.int32)
        found: Integer[np.ndarray, "Y X"] = table[
            torch.stack([row for row in rows if row is not None]).max(0).indices.numpy()
        ]
        return found
