"""Marks pixels of a kept mask that memory is not to trust."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosfw.errors import ConfigError
from vosfw.types import ObjectMasks


@runtime_checkable
class Reliability(Protocol):
    """Marks pixels of a kept mask that are not to be trusted, by ``ObjectMasks.weight``."""

    def __call__(self, masks: ObjectMasks) -> ObjectMasks:
        """The masks with another weight."""
        ...


class NoReliability:
    """Trust every pixel."""

    def __call__(self, masks: ObjectMasks) -> ObjectMasks:
        """The same masks."""
        return masks


class EntropyReliability:
    """Trust pixels whose class probabilities have an entropy of at most ``alpha`` (RPCM, section 3.3).

    Args:
        alpha: Threshold, in nats, from 0. As released it is 1.0, which with one object (at most ln 2) rejects nothing.
        normalize: Divide the entropy by that of equal probabilities of all classes, so that it lies in 0..1.

    Raises:
        ConfigError: If ``alpha`` is negative.
    """

    def __init__(self, alpha: float | int = 1.0, *, normalize: bool = False) -> None:
        if alpha < 0:
            raise ConfigError(f"engine.reliability.alpha is {alpha}; wanted an entropy from 0")
        self.alpha = alpha
        self.normalize = normalize

    def __call__(self, masks: ObjectMasks) -> ObjectMasks:
        """The masks, with weight 0 where they are not to be trusted."""
        trusted = entropy(masks.probs, masks.valid, normalize=self.normalize) <= self.alpha
        return masks._replace(weight=masks.weight * trusted)


def entropy(
    probs: Float[Tensor, "B O Y X"], valid: Bool[Tensor, "B K"], *, normalize: bool = False
) -> Float[Tensor, "B 1 Y X"]:
    """Entropy of the class probabilities per pixel, in nats, or as a share of the largest there can be.

    Args:
        probs: Background first; slots not in use have probability 0.
        valid: Slots in use.
        normalize: Divide by the logarithm of the number of classes in use.
    """
    amount = -(probs * (probs + 1e-6).log()).sum(1, keepdim=True)
    if not normalize:
        return amount
    classes = (valid.sum(1) + 1).clamp_min(2)
    return amount / torch.log(classes.to(amount.dtype))[:, None, None, None]
