"""Cross-entropy over the hardest pixels."""

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.loss.frame import FrameLoss
from vosfw.ops.mask_loss import bootstrapped_cross_entropy


class BootstrappedCE(FrameLoss):
    """Cross-entropy over all pixels at first, then over ever fewer, the hardest ones (STCN, section 4, as released).

    The share of pixels goes from 1 at ``start`` to ``ratio`` at ``end``, linearly in the training's progress; with
    both 0 it is ``ratio`` from the first step.
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
        if not (0 <= start < end or start == end == 0) or total < 1:
            raise ConfigError(
                f"loss has start={start}, end={end}, total={total}; wanted 0 <= start < end, or both 0, and total >= 1"
            )
        self.start, self.end, self.ratio, self.total, self.count_void = start, end, ratio, total, count_void

    def share(self, progress: float | int) -> float:
        """Share of pixels that count when the share ``progress`` of the training is done."""
        if not self.end:
            return self.ratio
        left = (self.end - progress * self.total) / (self.end - self.start)
        return self.ratio + (1 - self.ratio) * min(max(left, 0.0), 1.0)

    def per_sample(
        self,
        logits: Float[Tensor, "B O Y X"],
        labels: Integer[Tensor, "B Y X"],
        valid: Bool[Tensor, "B K"],
        progress: float | int,
        counted: Bool[Tensor, "B O"] | None = None,
    ) -> Float[Tensor, "B"]:
        """See ``FrameLoss.per_sample``; classes are the background and the valid slots."""
        used = F.pad(valid, (1, 0), value=True)
        classes = logits.masked_fill(~used[:, :, None, None], -torch.inf)
        return bootstrapped_cross_entropy(
            classes, labels, self.share(progress), count_void=self.count_void, counted=counted
        )
