"""Gradient correction written down plainly: every frame encoded again in every step, pixels sorted, sample by sample.

The oracle of ``vosfw.engine.corrector``. It borrows the network and nothing else of vosfw but its values.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from vosfw.types import ObjectMasks

KERNEL = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def cross_entropy(logits: Tensor, labels: Tensor, ratio: float) -> Tensor:
    """One sample: logits [O, Y, X], labels [Y, X]."""
    losses = -logits.log_softmax(0).gather(0, labels[None].long()).flatten()
    return losses.sort(descending=True).values[: int(ratio * len(losses))].mean()


def overlap(logits: Tensor, labels: Tensor, objects: list[int]) -> Tensor:
    terms = []
    for slot in objects:
        predicted, true = logits.softmax(0)[slot + 1], (labels == slot + 1).float()
        terms.append(1 - torch.min(predicted, true).sum() / torch.max(predicted, true).sum())
    return torch.stack(terms).mean()


def smoothness(probs: Tensor, objects: list[int]) -> Tensor:
    terms = []
    for slot in objects:
        padded = F.pad(probs[slot + 1][None, None], (1, 1, 1, 1), mode="replicate")
        for kernel in (KERNEL, KERNEL.T):
            terms.append(F.conv2d(padded, kernel[None, None]).square().mean())
    return 2 * torch.stack(terms).mean()


def plain_correction(
    network, frame, probs, known, labels, objects, *, rate, steps, smooth=0.0, gamma=1.0, ratio=0.4, size=None
):
    """One sample: frames [3, H, W] at input size, probs [O, Y, X], labels [Y, X]; corrected probs, and the losses."""
    losses = []
    valid = torch.zeros(1, len(probs) - 1, dtype=torch.bool)
    valid[0, objects] = True
    for _ in range(steps):
        with torch.enable_grad():
            leaf = probs.detach().clone().requires_grad_()
            masks = ObjectMasks(leaf[None], valid, torch.ones(1, 1, *leaf.shape[-2:]))
            state = network.init_state(network.encode(frame[None, None]), masks)
            logits, _ = network.segment(network.encode(known[None, None]), state)
            logits = F.interpolate(logits[:, 0], leaf.shape[-2:], mode="bilinear", align_corners=False)[0]
            loss = overlap(logits, labels, objects) + gamma * cross_entropy(logits, labels, ratio)
            loss = loss + smooth * smoothness(leaf, objects)
        losses.append(loss.item())
        probs = probs - rate * torch.autograd.grad(loss, leaf)[0]
    return probs.detach(), losses
