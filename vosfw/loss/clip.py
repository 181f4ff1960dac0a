"""The loss of a clip as a volume."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.loss.sequence import Rollout, SequenceLoss, require_steps
from vosfw.ops.mask_loss import clip_dice_loss
from vosfw.types import Clip

__all__ = ["ClipLoss"]


@runtime_checkable
class Session(Protocol):
    """What is used of ``vosfw.engine.stream.Stream``."""

    clip_length: int
    """Frames per ``segment`` call."""


@runtime_checkable
class ClipRollout(Rollout, Protocol):
    """What is used of ``vosfw.engine.engine.Rollout``, which this layer may not import."""

    @property
    def stream(self) -> Session:
        """The session that made the steps."""
        ...


class ClipLoss(nn.Module):
    """Frames one by one and clips as volumes: L = L_image + weight x L_clip (PCVOS, Park et al., CVPR 2022).

    L_clip sums 1 - Dice over the objects in use, Dice over time and space of a clip, and over the clips of the sample,
    as L_image is summed over its frames; it is a mean over the batch. The paper leaves the form of Dice open, and how
    clips are added up. Clips are cut from the predicted frames in their order; the last one may be shorter.

    Args:
        image: L_image; the paper has STCN's.
        clip_length: Frames per clip (N); None takes those that the training engine segments at once. A number makes
            volumes of frames that were predicted one by one.
        dice: ``linear``, (2 sum(p g) + e) / (sum(p) + sum(g) + e), or ``squared``, with squares in the denominator.
        smooth: e.
        weight: Of L_clip.

    Raises:
        ConfigError: If an option is not one of these.
    """

    def __init__(
        self,
        image: SequenceLoss,
        clip_length: int | None = None,
        dice: str = "linear",
        smooth: float | int = 1.0,
        weight: float | int = 1.0,
    ) -> None:
        super().__init__()
        if clip_length is not None and clip_length < 1:
            raise ConfigError(f"loss.clip_length is {clip_length}; wanted a number of frames from 1, or null")
        if dice not in ("linear", "squared"):
            raise ConfigError(f"loss.dice is {dice!r}; wanted linear or squared")
        if smooth <= 0 or weight < 0:
            raise ConfigError(f"loss has smooth={smooth}, weight={weight}; wanted smooth > 0 and weight >= 0")
        self.image = image
        self.clip_length = clip_length
        self.squared = dice == "squared"
        self.smooth = smooth
        self.weight = weight

    def forward(self, rollout: ClipRollout, clip: Clip, progress: float | int) -> dict[str, Tensor]:
        """The terms of the loss; ``loss`` = ``image`` + weight x ``clip`` is minimised.

        Args:
            rollout: Predicted frames.
            clip: The batch they were predicted from.
            progress: Share of the training that is done, in 0..1.

        Raises:
            ConfigError: If no frame was predicted.
        """
        require_steps(rollout, clip)
        image = self.image(rollout, clip, float(progress))["loss"]
        length = self.clip_length or rollout.stream.clip_length
        used = F.pad(clip.valid, (1, 0), value=True)[:, :, None, None, None]
        volumes = []
        for start in range(0, len(rollout.steps), length):
            steps = rollout.steps[start : start + length]
            logits = torch.stack([step.logits.float() for step in steps], dim=2)
            probs = logits.masked_fill(~used, -torch.inf).softmax(1)
            labels = clip.labels[:, [step.frame for step in steps]]
            volumes.append(clip_dice_loss(probs, labels, clip.valid, squared=self.squared, smooth=self.smooth).mean())
        volume = torch.stack(volumes).sum()
        return {"loss": image + self.weight * volume, "image": image.detach(), "clip": volume.detach()}
