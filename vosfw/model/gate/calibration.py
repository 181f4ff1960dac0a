"""Discriminative object calibration (AOC-Net)."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.interfaces import Gate
from vosfw.ops.chunks import rows_at_once

CONFIDENCE = ("soft", "hard")
OTHERS = ("maximum", "means")
EPSILON = 1e-6


class ConditioningLayer(nn.Module):
    """A map to a vector: the mean over its most confident cells, and a linear layer.

    ``soft`` (paper): a kept cell counts as much as its confidence ``relu(phi(z))``, and the mean is weighted so.
    ``hard`` (as released): kept cells count alike, the least of them is left out, and the mean is over all cells; no
    gradient reaches ``phi``, which therefore stays as it is.

    Args:
        channels: Of the map.
        beta: Share of cells to keep, in 0..1; 0 takes the plain mean of all.
        confidence: ``soft`` or ``hard``.
    """

    def __init__(self, channels: int, beta: float | int, confidence: str) -> None:
        super().__init__()
        self.beta, self.soft = beta, confidence == "soft"
        self.phi: nn.Linear | None = None
        if beta > 0:
            self.phi = nn.Linear(channels, 1).requires_grad_(self.soft)
            if self.soft:
                # About one everywhere at first: a confidence that is zero would never learn.
                nn.init.normal_(self.phi.weight, std=0.1 / math.sqrt(channels))
                nn.init.ones_(self.phi.bias)
            else:
                nn.init.kaiming_normal_(self.phi.weight, mode="fan_out", nonlinearity="relu")
        self.mlp = nn.Linear(channels, channels)

    def forward(
        self, z: Float[Tensor, "B O C h w"], common: Float[Tensor, "B C h w"] | None = None
    ) -> Float[Tensor, "B O C"]:
        """The condition of ``z``, or of ``common - z``, which is never built: all but the selection is linear."""
        flat = z.flatten(3)
        if self.phi is None:
            pooled = flat.mean(3)
            pooled = pooled if common is None else common.mean((2, 3))[:, None] - pooled
        else:
            share = self.share(z, common)
            pooled = (flat @ share[..., None])[..., 0]
            if common is not None:
                pooled = share @ common.flatten(2).transpose(1, 2) - pooled
        code: Tensor = self.mlp(pooled)
        return code

    def share(
        self, z: Float[Tensor, "B O C h w"], common: Float[Tensor, "B C h w"] | None = None
    ) -> Float[Tensor, "B O n"]:
        """How much each cell counts in the mean of ``z``, or of ``common - z``; 0 for those left out."""
        flat, size = z.flatten(3), z.shape[3] * z.shape[4]
        if self.phi is None:
            return flat.new_full((*flat.shape[:2], size), 1 / size)
        confidence = self._score(flat)
        if common is not None:
            confidence = self._score(common.flatten(2)[:, None]) - confidence
        confidence = confidence + self.phi.bias
        kept = max(int(self.beta * size), 1)
        if self.soft:
            confidence = confidence.relu()
        least = confidence.detach().topk(kept, 2).values[..., -1:]
        if self.soft:
            share = torch.where(confidence >= least, confidence, 0.0)
            return share / share.sum(2, keepdim=True).clamp(min=EPSILON)
        return (confidence > least).to(flat.dtype) / size

    def _score(self, flat: Float[Tensor, "B O C n"]) -> Float[Tensor, "B O n"]:
        assert self.phi is not None
        weight = self.phi.weight.to(flat.dtype).expand(flat.shape[0] * flat.shape[1], 1, -1)
        return torch.bmm(weight, flat.flatten(0, 1)).reshape(flat.shape[0], flat.shape[1], -1)


class CalibrationGate(Gate):
    """Gains of an object's map from itself, from what tells it from the other objects, and from its descriptor.

    ``x * (1 + tanh(W [CL1(x); CL2(others - x); CL3(head)]))`` (AOC-Net; the paper has no ``tanh``).
    Maps are wide and their means alike, which soon drives the ``tanh`` to its ends, where all objects have the same
    gains; so each of the three vectors is brought to length one (``normalize``; not in the paper).

    Args:
        channels: Of the map to be gated.
        head_dim: Width of the descriptor.
        beta: Share of cells that are confident enough to count, in 0..1; 0 for all, without confidence.
        confidence: ``soft`` (paper) or ``hard`` (as released); see ``ConditioningLayer``.
        others: ``maximum`` (paper): a 1x1 convolution of every object's map and the maximum over all objects, which
            does not depend on their order; or ``means`` (as released): the sum of the other objects' spatial means.
        normalize: Bring the three vectors to mean zero and length one.

    Raises:
        ConfigError: If an option is out of range.
    """

    def __init__(
        self,
        channels: int,
        head_dim: int,
        beta: float | int = 0.3,
        confidence: str = "soft",
        others: str = "maximum",
        *,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        if not 0 <= beta <= 1:
            raise ConfigError(f"calibration.beta is {beta}; wanted a share in 0..1, 0 to turn the confidence off")
        if confidence not in CONFIDENCE:
            raise ConfigError(f"calibration.confidence is {confidence!r}; wanted {' or '.join(CONFIDENCE)}")
        if others not in OTHERS:
            raise ConfigError(f"calibration.others is {others!r}; wanted {' or '.join(OTHERS)}")
        self.own = ConditioningLayer(channels, beta, confidence)
        self.aggregate = nn.Linear(channels, channels) if others == "maximum" else None
        # The sum of means has no cells to choose from.
        self.against = ConditioningLayer(channels, beta if others == "maximum" else 0, confidence)
        self.described = nn.Linear(head_dim, head_dim)
        self.normalize = normalize
        self.mlp = nn.Linear(2 * channels + head_dim, channels)

    def forward(
        self, x: Float[Tensor, "B O C h w"], head: Float[Tensor, "B O D"], valid: Bool[Tensor, "B O"]
    ) -> Float[Tensor, "B O C"]:
        """See ``Gate``."""
        if self.aggregate is None:
            against = self.against.mlp(means_of_others(x, valid))
        else:
            against = self.against(x, largest(x, self.aggregate, valid))
        codes = [self.own(x), against, self.described(head)]
        if self.normalize:
            codes = [F.layer_norm(code, code.shape[2:]) / math.sqrt(code.shape[2]) for code in codes]
        return 1 + torch.tanh(self.mlp(torch.cat(codes, 2)))


class DescribedGate(Gate):
    """A gain from the object's descriptor and the sum of the other objects' spatial means (AOC-Net, as released).

    Args:
        channels: Of the map to be gated.
        head_dim: Width of the descriptor.
    """

    def __init__(self, channels: int, head_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(head_dim + channels, channels)

    def forward(
        self, x: Float[Tensor, "B O C h w"], head: Float[Tensor, "B O D"], valid: Bool[Tensor, "B O"]
    ) -> Float[Tensor, "B O C"]:
        """See ``Gate``."""
        return 1 + torch.tanh(self.linear(torch.cat([head, means_of_others(x, valid).to(head.dtype)], 2)))


def means_of_others(x: Float[Tensor, "B O C h w"], valid: Bool[Tensor, "B O"]) -> Float[Tensor, "B O C"]:
    """For each object the sum of the spatial means of all others in use; zero if it is alone."""
    means = torch.where(valid[..., None], x.mean((3, 4)), 0.0)
    return means.sum(1, keepdim=True) - means


def largest(x: Float[Tensor, "B O C h w"], linear: nn.Linear, valid: Bool[Tensor, "B O"]) -> Float[Tensor, "B C h w"]:
    """The maximum over all objects in use of a 1x1 convolution of their maps; a few objects at a time."""
    batch, channels = x.shape[0], x.shape[2]
    rows = rows_at_once(x, batch * channels * x.shape[3] * x.shape[4])
    best: Tensor | None = None
    for part, used in zip(x.split(rows, 1), valid.split(rows, 1), strict=True):
        maps = linear.weight.to(x.dtype) @ part.flatten(3)
        top = maps.masked_fill_(~used[..., None, None], -torch.inf).amax(1)
        best = top if best is None else torch.maximum(best, top)
    assert best is not None
    return (best + linear.bias[:, None].to(x.dtype)).reshape(batch, channels, *x.shape[-2:])
