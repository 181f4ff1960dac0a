"""Cross-entropy over the hardest pixels."""

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.types import VOID

PRECISION = 10**9
"""Steps of a ratio: a count of pixels is exact in integers, on every device and without a transfer to the host."""


def bootstrapped_cross_entropy(
    logits: Float[Tensor, "B O Y X"], labels: Integer[Tensor, "B Y X"], ratio: float, *, count_void: bool = False
) -> Float[Tensor, "B"]:
    """Mean cross-entropy of each sample over the share ``ratio`` of its pixels that have the largest loss.

    Args:
        logits: Class logits; slots not in use are far below all others.
        labels: Slot + 1, 0 background; ``VOID`` pixels count neither as loss nor as pixels.
        ratio: In (0, 1]; 1 is the plain mean. The number of pixels is rounded down.
        count_void: Count ``VOID`` pixels as pixels without loss.
    """
    loss = F.cross_entropy(logits.float(), labels.long(), ignore_index=VOID, reduction="none").flatten(1)
    count = ((labels != VOID) | count_void).flatten(1).sum(1)
    if ratio >= 1:
        return loss.sum(1) / count.clamp_min(1)
    share = round(ratio * PRECISION)
    hard = count * share // PRECISION
    most = loss.shape[1] * share // PRECISION
    largest = loss.topk(most, dim=1).values
    among = torch.arange(most, device=loss.device) < hard[:, None]
    return (largest * among).sum(1) / hard.clamp_min(1)


class BootstrappedCE(nn.Module):
    """Cross-entropy over all pixels at first, then over ever fewer, the hardest ones (STCN, section 4, as released).

    The share of pixels goes from 1 at ``start`` to ``ratio`` at ``end``, linearly in the training's progress.
    CFBI (Yang, Wei, Yang, ECCV 2020) and RPCM (Xu et al., AAAI 2022), as released: ``start`` is 0, ``end`` half of the
    training, and ``count_void`` is set.

    Args:
        start: Iteration, of ``total``, at which the share begins to fall.
        end: Iteration at which it has reached ``ratio``.
        ratio: Share of pixels at the end, in (0, 1].
        total: Length of the training that ``start`` and ``end`` refer to; a run of another length is scaled. STCN's
            main stage has 150,000 iterations, its static stage 300,000.
        count_void: Whether unlabelled pixels count as pixels without loss (CFBI), or not at all (STCN).

    Raises:
        ConfigError: If the numbers do not fit.
    """

    def __init__(
        self,
        start: int = 20_000,
        end: int = 70_000,
        ratio: float = 0.15,
        total: int = 150_000,
        *,
        count_void: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < ratio <= 1:
            raise ConfigError(f"loss.ratio is {ratio}; wanted a share of pixels in (0, 1]")
        if not 0 <= start < end or total < 1:
            raise ConfigError(f"loss has start={start}, end={end}, total={total}; wanted 0 <= start < end, total >= 1")
        self.start, self.end, self.ratio, self.total, self.count_void = start, end, ratio, total, count_void

    def share(self, progress: float) -> float:
        """Share of pixels that count when the share ``progress`` of the training is done."""
        left = (self.end - progress * self.total) / (self.end - self.start)
        return self.ratio + (1 - self.ratio) * min(max(left, 0.0), 1.0)

    def forward(
        self,
        logits: Float[Tensor, "B O Y X"],
        labels: Integer[Tensor, "B Y X"],
        valid: Bool[Tensor, "B K"],
        progress: float,
    ) -> Float[Tensor, ""]:
        """Mean over the batch for one predicted frame; classes are the background and the valid slots."""
        used = F.pad(valid, (1, 0), value=True)[:, :, None, None]
        classes = logits.masked_fill(~used, -torch.inf)
        return bootstrapped_cross_entropy(classes, labels, self.share(progress), count_void=self.count_void).mean()
