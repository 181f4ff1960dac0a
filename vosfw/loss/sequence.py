"""From a loss of one frame to the loss of a clip."""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from vosfw.errors import ConfigError
from vosfw.types import Clip, Step

__all__ = ["SequenceLoss"]


@runtime_checkable
class Rollout(Protocol):
    """What is used of ``vosfw.engine.engine.Rollout``, which this layer may not import."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Predicted frames; their logits are at the clip's label size."""
        ...


def require_steps(rollout: Rollout, clip: Clip) -> None:
    """Refuse a clip of which nothing was predicted.

    Raises:
        ConfigError: If no frame was predicted.
    """
    if not rollout.steps:
        raise ConfigError(
            f"no frame of the clip ({clip.frames.shape[1]} frames) is predicted: every one is given or not wanted. "
            "Set the clip length of the data to 2 or more."
        )


class SequenceLoss(nn.Module):
    """Sum (as STCN) or mean (CFBI, RPCM) over the predicted frames of a frame's loss, itself a mean over the batch.

    CFBI's released trainer back-propagates ``loss / L`` frame by frame. With hard masks fed back and memories detached
    no gradient crosses frames, so that one backward pass through the mean has the same gradients.

    Args:
        frame_loss: Called with ``logits [B, K+1, Y, X]``, ``labels [B, Y, X]``, ``valid [B, K]`` and ``progress``;
            returns a scalar.
        reduction: ``sum`` or ``mean`` over the predicted frames.

    Raises:
        ConfigError: If the reduction is unknown.
    """

    def __init__(self, frame_loss: nn.Module, reduction: str = "sum") -> None:
        super().__init__()
        if reduction not in ("sum", "mean"):
            raise ConfigError(f"loss.reduction is {reduction!r}; wanted sum or mean")
        self.frame_loss = frame_loss
        self.reduction = reduction

    def forward(self, rollout: Rollout, clip: Clip, progress: float) -> dict[str, Tensor]:
        """The terms of the loss; what is minimised is ``loss``.

        Args:
            rollout: Predicted frames.
            clip: The batch they were predicted from.
            progress: Share of the training that is done, in 0..1.

        Raises:
            ConfigError: If no frame was predicted.
        """
        require_steps(rollout, clip)
        frames: list[Any] = [
            self.frame_loss(step.logits.float(), clip.labels[:, step.frame], clip.valid, progress)
            for step in rollout.steps
        ]
        losses = torch.stack(frames)
        return {"loss": losses.mean() if self.reduction == "mean" else losses.sum()}
