"""What a loss of one frame promises."""

from abc import ABC, abstractmethod

from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn


class FrameLoss(nn.Module, ABC):
    """Compares one predicted frame of each sample with the truth; its mean over the batch is what is minimised."""

    @abstractmethod
    def per_sample(
        self,
        logits: Float[Tensor, "B O Y X"],
        labels: Integer[Tensor, "B Y X"],
        valid: Bool[Tensor, "B K"],
        progress: float | int,
        counted: Bool[Tensor, "B O"] | None = None,
    ) -> Float[Tensor, "B"]:
        """Loss of each sample.

        Args:
            logits: Class logits, background first (O = K + 1).
            labels: Slot + 1, 0 background, ``VOID`` unlabelled.
            valid: Slots in use; only they and the background are classes.
            progress: Share of the training that is done, in 0..1.
            counted: Classes whose pixels, or masks, make up the loss; None takes all in use.
        """

    def forward(
        self,
        logits: Float[Tensor, "B O Y X"],
        labels: Integer[Tensor, "B Y X"],
        valid: Bool[Tensor, "B K"],
        progress: float | int,
    ) -> Float[Tensor, ""]:
        """Mean over the batch; arguments as in ``per_sample``."""
        return self.per_sample(logits, labels, valid, progress).mean()
