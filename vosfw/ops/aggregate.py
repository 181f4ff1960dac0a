"""Soft aggregation: independent object probabilities become one distribution over objects and background."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-7
UNUSED_LOGIT = -1e4
"""Logit of a slot that is not in use: exactly zero after a softmax in float32."""


def soft_aggregate(probs: Float[Tensor, "B K *s"], valid: Bool[Tensor, "B K"]) -> Float[Tensor, "B K+1 *s"]:
    """Class logits whose softmax joins the objects' own probabilities (STM, eq. 4; STCN's form).

    The background is the chance that no object is there. All are clamped to [1e-7, 1 - 1e-7] and turned into log-odds.
    Computed in float32 also under autocast.

    Args:
        probs: Foreground probability of each object, in 0..1.
        valid: Slots in use; the others leave the result unchanged and get ``UNUSED_LOGIT``.
    """
    with torch.autocast(probs.device.type, enabled=False):
        used = valid.reshape(*valid.shape, *[1] * (probs.ndim - 2))
        probs = torch.where(used, probs.float(), 0.0)
        background = (1 - probs).prod(1, keepdim=True)
        logits = torch.cat([background, probs], dim=1).clamp(EPSILON, 1 - EPSILON).logit()
        used = F.pad(valid, (1, 0), value=True).reshape(valid.shape[0], -1, *used.shape[2:])
        return torch.where(used, logits, UNUSED_LOGIT)


def logits_of(probs: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Logits whose softmax gives these class probabilities; ``UNUSED_LOGIT`` where there is none.

    Gradients stay finite there, which those of a plain logarithm do not.
    """
    return torch.where(probs <= 0, UNUSED_LOGIT, probs.clamp_min(torch.finfo(probs.dtype).tiny).log())
