"""Corrects a mask before it is remembered, by how well it explains a frame whose mask is known."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

from vosfw.engine.cycle import KnownFrame, detached, frozen, label_map, reconstruct
from vosfw.engine.precision import arithmetic, check_precision
from vosfw.errors import ConfigError
from vosfw.interfaces import Segmenter
from vosfw.ops.aggregate import UNUSED_LOGIT
from vosfw.ops.mask_loss import bootstrapped_cross_entropy, mask_iou_loss, roughness
from vosfw.types import Features, ObjectMasks

SCALE = 2.0**10
"""Of the loss before it is differentiated: under float16 autocast gradients of a mean over pixels vanish without it."""
Resize = Callable[[Tensor, tuple[int, int]], Tensor]
"""Logits at another size (height, width): ``Engine.resize``."""


@runtime_checkable
class Corrector(Protocol):
    """Improves a mask before it is remembered (the cyclic mechanism's gradient correction)."""

    publishes: bool
    """Whether the corrected mask is also the published one."""
    needs_reference: bool
    """Whether the engine must hold on to the latest given frame; without one, nothing is corrected."""

    def check(self, segmenter: Segmenter[Any]) -> None:
        """Raise a ``ConfigError`` if masks of this network cannot be corrected; called before the first frame."""
        ...

    def due(self, t: int) -> bool:
        """Whether frame ``t``, counted from the first given one, is corrected; whatever memory keeps."""
        ...

    def __call__(
        self, segmenter: Segmenter[Any], features: Features, masks: ObjectMasks, reference: KnownFrame, resize: Resize
    ) -> ObjectMasks:
        """The masks of one frame, corrected by how well they explain the latest given frame."""
        ...


class NoCorrector:
    """Leave every mask as it is."""

    publishes = False
    needs_reference = False

    def check(self, segmenter: Segmenter[Any]) -> None:
        """Any network will do."""

    def due(self, t: int) -> bool:
        """Never."""
        return False

    def __call__(
        self, segmenter: Segmenter[Any], features: Features, masks: ObjectMasks, reference: KnownFrame, resize: Resize
    ) -> ObjectMasks:
        """The same masks."""
        return masks


class Correction(NamedTuple):
    """What ``GradientCorrector.correct`` found."""

    masks: ObjectMasks
    """Values of objects may be below 0 or above 1; they no longer sum to 1."""
    losses: Float[Tensor, "N B"]
    """Of each sample before each step."""


class GradientCorrector:
    """Gradient descent on a predicted mask, so that it leads back to the given one (Li et al., IJCV 2022, section 4).

    From the frame and its mask alone the network segments the latest given frame; the loss against the given mask, over
    the objects in use, is IoU + ``gamma`` x cross-entropy over the hardest pixels, plus ``smooth`` x the smooth term.
    As released, the steps change probabilities: nothing is clamped or renormalised, and neither the background's
    channel nor an unused slot ever changes. Nothing is encoded again, no parameter gets a gradient and no graph is
    kept. The samples of a batch do not affect each other, but the objects of a sample do: they compete for pixels.

    The network must be differentiable in its masks, and ``torch.inference_mode`` must be off.

    Args:
        rate: Step size on probabilities. It is large because the loss is a mean over pixels: 180 in the released
            configurations. Untrained networks diverge there.
        steps: ``N`` of the paper.
        every: Frames between corrections, counted from the first given frame, which is never corrected; ``K`` of the
            paper.
        smooth: ``lambda`` of the paper, which has 0.75; the released code has no smooth term.
        gamma: Weight of the cross-entropy.
        ratio: Share of the hardest pixels in the cross-entropy, in (0, 1].
        precision: Of the network in the steps: ``float32`` (the caller's), or ``bfloat16``, about twice as fast where
            the processor has it. Masks and losses stay float32.
        publish: Publish the corrected mask too (the released demo; the paper's "refine the output"), as a distribution
            with the same winner in every pixel. Otherwise the correction acts through memory alone (the released
            evaluation).

    Raises:
        ConfigError: If an option is out of range.
    """

    needs_reference = True

    def __init__(
        self,
        rate: float | int = 180.0,
        steps: int = 10,
        every: int = 5,
        smooth: float | int = 0.0,
        gamma: float | int = 1.0,
        ratio: float | int = 0.4,
        publish: bool = False,
        precision: str = "float32",
    ) -> None:
        for name, count in (("steps", steps), ("every", every)):
            if count < 1:
                raise ConfigError(f"engine.corrector.{name} is {count}; wanted a whole number from 1")
        for name, factor in (("rate", rate), ("smooth", smooth), ("gamma", gamma)):
            if not 0 <= factor < float("inf"):
                raise ConfigError(f"engine.corrector.{name} is {factor}; wanted a number from 0")
        if not 0 < ratio <= 1:
            raise ConfigError(f"engine.corrector.ratio is {ratio}; wanted a share of pixels in (0, 1]")
        self.rate, self.steps, self.every, self.smooth = rate, steps, every, smooth
        check_precision("engine.corrector.precision", precision)
        self.gamma, self.ratio, self.publishes, self.precision = gamma, ratio, publish, precision

    def check(self, segmenter: Segmenter[Any]) -> None:
        """See ``Corrector.check``; refuses networks that harden masks, and ``torch.inference_mode``."""
        if not segmenter.mask_gradient:
            raise ConfigError(
                f"engine.corrector=gradient cannot correct masks of this {type(segmenter).__name__}: it uses them "
                "hard, so no gradient reaches them. Set engine/corrector=none, or take a network with soft masks: "
                "model=stm or stcn, or model.soft_masks=true for CFBI, RPCM and AOC-Net"
            )
        if torch.is_inference_mode_enabled():
            raise ConfigError(
                "engine.corrector=gradient cannot run under torch.inference_mode(), where nothing has a gradient. Use "
                "torch.no_grad(), or Trainer(inference_mode=False)"
            )

    def due(self, t: int) -> bool:
        """See ``Corrector.due``."""
        return t > 0 and t % self.every == 0

    def __call__(
        self, segmenter: Segmenter[Any], features: Features, masks: ObjectMasks, reference: KnownFrame, resize: Resize
    ) -> ObjectMasks:
        """See ``Corrector``."""
        return self.correct(segmenter, features, masks, reference, resize).masks

    def correct(
        self, segmenter: Segmenter[Any], features: Features, masks: ObjectMasks, reference: KnownFrame, resize: Resize
    ) -> Correction:
        """The corrected masks of one frame, and how the loss went down.

        Args:
            segmenter: The network.
            features: Of the frame (T = 1).
            masks: To be corrected, on the mask grid; detached.
            reference: Frame with known masks; each pixel belongs to its most likely class.
            resize: Brings logits to the mask grid.

        Raises:
            ConfigError: See ``check``; also if a tensor was made under ``torch.inference_mode``.
        """
        self.check(segmenter)
        features, known = detached(features), detached(reference.features)
        background, objects = masks.probs[:, :1].detach(), masks.probs[:, 1:].detach()
        if any(part.is_inference() for part in (*features.levels, *known.levels, objects)):
            raise ConfigError(
                "engine.corrector=gradient got tensors made under torch.inference_mode(), which autograd refuses. Make "
                "them under torch.no_grad()"
            )
        if not objects.shape[1]:
            return Correction(masks, objects.new_zeros(self.steps, objects.shape[0]))
        labels = label_map(reference.masks, masks.valid)
        size = labels.shape[-2], labels.shape[-1]
        changes, losses = masks.valid[:, :, None, None], []
        with torch.no_grad(), arithmetic(self.precision, objects.device):
            features, known = segmenter.prepare(features, write=True), segmenter.prepare(known, read=True)
        with torch.enable_grad(), frozen(segmenter):
            for _ in range(self.steps):
                leaf = objects.requires_grad_()
                tried = masks._replace(probs=torch.cat([background, leaf], 1))
                with arithmetic(self.precision, objects.device):
                    logits = reconstruct(segmenter, features, tried, known)
                logits = resize(logits.float(), size)
                loss = self.loss(logits, labels, masks.valid)
                if self.smooth:
                    loss = loss + self.smooth * roughness(leaf, masks.valid)
                # Samples are independent: the gradient of their sum is that of each.
                (gradient,) = torch.autograd.grad(loss.sum() * SCALE, leaf)
                objects = torch.where(changes, leaf.detach() - self.rate * (gradient / SCALE), leaf.detach())
                losses.append(loss.detach())
        return Correction(masks._replace(probs=torch.cat([background, objects], 1)), torch.stack(losses))

    def loss(
        self, logits: Float[Tensor, "B O Y X"], labels: Integer[Tensor, "B Y X"], valid: Bool[Tensor, "B K"]
    ) -> Float[Tensor, "B"]:
        """Of the reconstructed reference frame, without the smooth term."""
        # The last class, which is never counted, is that of pixels that belong to none.
        counted = F.pad(F.pad(valid, (1, 0), value=True), (0, 1), value=False)
        logits = F.pad(logits.float(), (0, 0, 0, 0, 0, 1), value=UNUSED_LOGIT)
        hard = bootstrapped_cross_entropy(logits, labels, self.ratio, counted=counted)
        return mask_iou_loss(logits.softmax(1), labels, counted) + self.gamma * hard
