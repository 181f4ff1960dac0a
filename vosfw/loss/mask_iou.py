"""Overlap of soft masks."""

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

from vosfw.loss.frame import FrameLoss
from vosfw.ops.mask_loss import mask_iou_loss


class MaskIoU(FrameLoss):
    """1 minus the soft intersection over union, mean over the objects in use (Li et al., IJCV 2022, as released)."""

    def per_sample(
        self,
        logits: Float[Tensor, "B O Y X"],
        labels: Integer[Tensor, "B Y X"],
        valid: Bool[Tensor, "B K"],
        progress: float | int,
        counted: Bool[Tensor, "B O"] | None = None,
    ) -> Float[Tensor, "B"]:
        """See ``FrameLoss.per_sample``."""
        used = F.pad(valid, (1, 0), value=True)
        probs = logits.float().masked_fill(~used[:, :, None, None], -torch.inf).softmax(1)
        return mask_iou_loss(probs, labels, used if counted is None else used & counted)
