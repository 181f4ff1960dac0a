"""Noise on the masks of one video."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vosfw.types import ObjectMasks


class Noise:
    """What is added to the masks of a video."""

    def __init__(self) -> None:
        self.values: dict[int, Float[Tensor, "B O Y X"]] = {}
        self.directions: dict[int, Float[Tensor, "B O Y X"]] = {}
        self.final = False
        """Nothing is asked for any more."""
        self._used: list[tuple[int, Tensor, Tensor]] = []
        self._asked: list[tuple[int, Tensor, Tensor]] = []

    def __call__(self, t: int, masks: ObjectMasks) -> ObjectMasks:
        """See ``Damage``."""
        values = self.values.get(t)
        if self.final:
            if values is None:
                return masks
            return masks._replace(probs=(masks.probs + _like(values, masks.probs)).clamp(0, 1))
        values = torch.zeros_like(masks.probs) if values is None else values
        leaf = values.detach().requires_grad_()
        self._used.append((t, leaf, masks.probs.detach()))
        noisy = masks.probs + leaf
        # At the limits the gradient still says whether to come back.
        return masks._replace(probs=noisy + (noisy.clamp(0, 1) - noisy).detach())

    def taken(self) -> Sequence[Tensor]:
        """The noise that was used since the last call, with its graph."""
        self._asked, self._used = self._used, []
        return [leaf for _, leaf, _ in self._asked]

    def follow(self, gradients: Sequence[Tensor | None], eps: float, steps: int, momentum: float | int) -> None:
        """Move the noise that was taken along its gradient, within ``eps`` of the mask and 0..1."""
        for (t, leaf, probs), gradient in zip(self._asked, gradients, strict=True):
            direction = torch.zeros_like(leaf) if gradient is None else gradient
            direction = direction / direction.abs().sum().clamp_min(torch.finfo(direction.dtype).tiny)
            if momentum and steps > 1:
                direction = direction + momentum * self.directions.get(t, torch.zeros_like(leaf))
                self.directions[t] = direction
            moved = (leaf.detach() + eps / steps * direction.sign()).clamp(-eps, eps)
            self.values[t] = (probs + moved).clamp(0, 1) - probs
        self._asked = []


def _like(values: Float[Tensor, "B O Y X"], probs: Float[Tensor, "B O Y X"]) -> Float[Tensor, "B O Y X"]:
    """The noise of as many classes as the masks have; those that the other network did not know have none."""
    return F.pad(values.to(probs), (0, 0, 0, 0, 0, probs.shape[1] - values.shape[1]))
