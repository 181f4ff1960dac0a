"""A decoder that corrects a propagated mask instead of drawing one from nothing."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.model.decoder.refine import RefineDecoder


class PropagateDecoder(RefineDecoder):
    """``RefineDecoder`` whose logits are added to the mask that reading memory has propagated.

    Needs values whose first channel is the object's own mask in -1..1 (``PatchValueEncoder``). Before training the
    result is that mask, all but exactly, so keys learn to match from the first step on.

    Args:
        value_channels: Channels of the read-out.
        skip_channels: Channels of the frame's maps, coarse to fine.
        widths: Channels behind each block, coarse to fine.
        object_chunk: Most objects decoded at once.
        gain: Logit of a pixel whose read-out is certain, before training.
    """

    wants_mask = True

    def __init__(
        self,
        value_channels: int,
        skip_channels: Sequence[int],
        widths: Sequence[int] = (64, 32),
        object_chunk: int | None = None,
        gain: float = 4.0,
    ) -> None:
        super().__init__(value_channels, skip_channels, widths, object_chunk)
        self.gain = nn.Parameter(torch.tensor(gain))
        nn.init.normal_(self.pred.weight, std=1e-3)
        nn.init.zeros_(self.pred.bias)  # type: ignore[arg-type]

    def forward(
        self, value: Float[Tensor, "B K Cv T h w"], prepared: tuple[Float[Tensor, "F _E _y _x"], ...]
    ) -> Float[Tensor, "B T K y x"]:
        """See ``RefineDecoder.forward``."""
        logits = super().forward(value, prepared)
        mask = F.interpolate(value[:, :, 0].flatten(1, 2), logits.shape[-2:], mode="bilinear", align_corners=False)
        added: Tensor = logits + self.gain * mask.unflatten(1, value.shape[1:2] + value.shape[3:4]).transpose(1, 2)
        return added
