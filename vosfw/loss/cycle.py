"""Training in a cycle: what was predicted must lead back to what was given."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.loss.frame import FrameLoss
from vosfw.loss.sequence import Rollout, require_steps
from vosfw.ops.mask_loss import visible_classes
from vosfw.types import Clip, Step

__all__ = ["CycleLoss"]


@runtime_checkable
class CyclicRollout(Rollout, Protocol):
    """What is used of ``vosfw.engine.engine.Rollout``, which this layer may not import."""

    def reconstruct(self, steps: Iterable[Step]) -> Iterator[Float[Tensor, "B O Y X"]]:
        """Logits of the clip's first frame, at label size, from the frame and masks of each step alone."""
        ...


class CycleLoss(nn.Module):
    """Cyclic training of any network (Li et al., IJCV 2022, section 3; terms and weights as released).

    Each predicted frame counts twice. Forward: its masks against the truth, of the classes seen in the first frame.
    Cyclic: from this frame and its soft masks alone, gradients kept, the network segments the first frame, which is
    compared with the given masks, of the classes truly seen in this frame. Both sums are divided by the number of
    predicted frames. Where a sample's cyclic term does not apply it is computed and weighs nothing, so that every
    parameter has a gradient in every process.

    Networks that harden masks learn from it too, but no gradient flows back through the masks themselves.

    Args:
        frame_loss: Of forward and cyclic terms; as released ``configs/loss/iou_ce.yaml``.
        weight: Of the cyclic terms; the forward terms have 1.
        frames: Which of the predicted frames have a cyclic term, by place among them (-1 is the last); None: all.
        visible: Which objects the truth must show in a frame for a sample's cyclic term to count: ``highest``, that of
            the last slot in use (as released), ``all`` (the paper), or ``any``.

    Raises:
        ConfigError: If an option is not one of these.
    """

    def __init__(
        self,
        frame_loss: FrameLoss,
        weight: float | int = 1.0,
        frames: Sequence[int] | None = None,
        visible: str = "highest",
    ) -> None:
        super().__init__()
        if weight < 0:
            raise ConfigError(f"loss.weight is {weight}; wanted a factor from 0")
        if visible not in ("highest", "all", "any"):
            raise ConfigError(f"loss.visible is {visible!r}; wanted highest, all or any")
        if frames is not None and not len(frames):
            raise ConfigError(
                "loss.frames is empty; wanted places such as [-1], or null for all. Or set loss.weight=0."
            )
        self.frame_loss = frame_loss
        self.weight = weight
        self.frames = None if frames is None else tuple(frames)
        self.visible = visible

    def forward(self, rollout: CyclicRollout, clip: Clip, progress: float | int) -> dict[str, Tensor]:
        """The terms of the loss; ``loss`` = ``forward`` + weight x ``cycle`` is minimised.

        Args:
            rollout: Predicted frames.
            clip: The batch they were predicted from.
            progress: Share of the training that is done, in 0..1.

        Raises:
            ConfigError: If no frame was predicted, or ``frames`` asks for more than there are.
        """
        require_steps(rollout, clip)
        first, slots, steps = clip.labels[:, 0], clip.valid.shape[1], rollout.steps
        seen = visible_classes(first, slots)
        terms = [
            self.frame_loss.per_sample(step.logits.float(), clip.labels[:, step.frame], clip.valid, progress, seen)
            for step in steps
        ]
        forward = torch.stack(terms).sum(0).mean() / len(steps)
        if not self.weight:
            return {"loss": forward}
        back = []
        chosen = self._chosen(steps)
        for step, logits in zip(chosen, rollout.reconstruct(chosen), strict=True):
            seen = visible_classes(clip.labels[:, step.frame], slots)
            loss = self.frame_loss.per_sample(logits.float(), first, clip.valid, progress, seen)
            back.append(torch.where(self._applies(seen[:, 1:], clip.valid), loss, 0.0))
        cycle = torch.stack(back).sum(0).mean() / len(steps)
        return {"loss": forward + self.weight * cycle, "forward": forward.detach(), "cycle": cycle.detach()}

    def _chosen(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        if self.frames is None:
            return steps
        try:
            return tuple(steps[place] for place in self.frames)
        except IndexError:
            raise ConfigError(
                f"loss.frames is {list(self.frames)}, but a clip has {len(steps)} predicted frames; wanted places from "
                f"{-len(steps)} to {len(steps) - 1}"
            ) from None

    def _applies(self, seen: Bool[Tensor, "B K"], valid: Bool[Tensor, "B K"]) -> Bool[Tensor, "B"]:
        seen = seen & valid
        if self.visible == "any":
            return seen.any(1)
        if self.visible == "all":
            return (seen == valid).all(1) & valid.any(1)
        # The last slot in use: no slot behind it is in use.
        behind = F.pad(valid[:, 1:].flip(1).cumsum(1).flip(1), (0, 1)) > 0
        return (seen & ~behind).any(1)
