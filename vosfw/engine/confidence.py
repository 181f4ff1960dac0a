"""How good each object's mask is likely to be, told without the truth."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosfw.errors import ConfigError

__all__ = ["Confidence", "ExpectedOverlap", "Logistic"]


@runtime_checkable
class Confidence(Protocol):
    """Expected J of each object's mask in one frame."""

    def __call__(self, probs: Float[Tensor, "O Y X"], mass: Float[Tensor, "K Y X"] | None) -> Float[Tensor, "K"]:
        """In 0..1; 0 for an empty mask.

        Args:
            probs: Class probabilities; row 0 is the background.
            mass: Affinity mass: the share of what each pixel read from memory that belongs to the object.
        """
        ...


class ExpectedOverlap:
    """The ratio of expected intersection to expected union, if the probabilities are right. Needs no fitting.

    With the mask ``M`` and the object's probabilities ``p``: ``sum_M p / (|M| + sum_notM p)``.
    """

    def __call__(self, probs: Float[Tensor, "O Y X"], mass: Float[Tensor, "K Y X"] | None) -> Float[Tensor, "K"]:
        """See ``Confidence``."""
        own, probs = own_pixels(probs), probs[1:].float()
        inside = (probs * own).flatten(1).sum(1)
        union = own.flatten(1).sum(1) + (probs * ~own).flatten(1).sum(1)
        return inside / union.clamp_min(1e-6)


class Logistic:
    """Calibrated: a logistic function of the object's mean entropy and affinity mass, fitted to J.

    ``vosfw calibrate`` fits it to a network and writes it into the network's file.

    Args:
        entropy: Weight of the entropy of the class probabilities, in nats, mean over the mask.
        mass: Weight of the affinity mass, mean over the mask.
        bias: What is added.
    """

    def __init__(self, entropy: float, mass: float, bias: float) -> None:
        self.entropy = entropy
        self.mass = mass
        self.bias = bias

    def __call__(self, probs: Float[Tensor, "O Y X"], mass: Float[Tensor, "K Y X"] | None) -> Float[Tensor, "K"]:
        """See ``Confidence``.

        Raises:
            ConfigError: If the affinity mass has a weight, and the network keeps none.
        """
        if mass is None and self.mass:
            raise ConfigError(
                "engine.confidence weighs affinity mass, which this network does not keep (with test-time "
                "augmentation none does). Set model.affinity_mass=true, or engine/confidence=overlap."
            )
        entropy, share, present = evidence(probs, mass)
        return torch.sigmoid(self.entropy * entropy + self.mass * share + self.bias) * present


def own_pixels(probs: Float[Tensor, "O Y X"]) -> Bool[Tensor, "K Y X"]:
    """Pixels where the object is the most likely class."""
    return probs.max(0).indices == torch.arange(1, len(probs), device=probs.device)[:, None, None]


def evidence(
    probs: Float[Tensor, "O Y X"], mass: Float[Tensor, "K Y X"] | None
) -> tuple[Float[Tensor, "K"], Float[Tensor, "K"], Bool[Tensor, "K"]]:
    """Mean entropy (nats) and mean affinity mass over each object's mask, 0 without any, and whether it has one."""
    own = own_pixels(probs).flatten(1).float()
    area = own.sum(1)
    entropy = torch.special.entr(probs.float().clamp(0, 1)).sum(0).flatten()
    share = torch.zeros_like(area) if mass is None else (own * mass.flatten(1)).sum(1) / area.clamp_min(1)
    return own @ entropy / area.clamp_min(1), share, area > 0
