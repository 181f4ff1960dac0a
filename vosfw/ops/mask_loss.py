"""How far predicted masks are from true ones: for training, and for correction while a video is segmented."""

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

from vosfw.types import VOID

PRECISION = 10**9
"""Steps of a ratio: a count of pixels is exact in integers, on every device and without a transfer to the host."""
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def bootstrapped_cross_entropy(
    logits: Float[Tensor, "B O Y X"],
    labels: Integer[Tensor, "B Y X"],
    ratio: float,
    *,
    count_void: bool = False,
    counted: Bool[Tensor, "B O"] | None = None,
) -> Float[Tensor, "B"]:
    """Mean cross-entropy of each sample over the share ``ratio`` of its pixels that have the largest loss.

    Args:
        logits: Class logits; slots not in use are far below all others.
        labels: Slot + 1, 0 background; ``VOID`` pixels count neither as loss nor as pixels.
        ratio: In (0, 1]; 1 is the plain mean. The number of pixels is rounded down.
        count_void: Count ``VOID`` pixels as pixels without loss.
        counted: Classes that matter, background first; pixels of the others count as pixels without loss. None: all.
    """
    count = ((labels != VOID) | count_void).flatten(1).sum(1)
    labels = labels.long()
    if counted is not None:
        pixels = counted.gather(1, torch.where(labels == VOID, 0, labels).flatten(1)).reshape(labels.shape)
        labels = torch.where(pixels, labels, VOID)
    loss = F.cross_entropy(logits.float(), labels, ignore_index=VOID, reduction="none").flatten(1)
    if ratio >= 1:
        return loss.sum(1) / count.clamp_min(1)
    share = round(ratio * PRECISION)
    hard = count * share // PRECISION
    most = loss.shape[1] * share // PRECISION
    largest = loss.topk(most, dim=1).values
    among = torch.arange(most, device=loss.device) < hard[:, None]
    return (largest * among).sum(1) / hard.clamp_min(1)


def mask_iou(probs: Float[Tensor, "B K Y X"], masks: Float[Tensor, "B K Y X"]) -> Float[Tensor, "B K"]:
    """Soft intersection over union, sum of minima over sum of maxima, in 0..1; 1 where both masks are empty.

    Args:
        probs: Predicted, in 0..1.
        masks: True, in 0..1.
    """
    shared, joint = torch.minimum(probs, masks).sum((2, 3)), torch.maximum(probs, masks).sum((2, 3))
    some = joint > 0
    # Divided by 1 where there is nothing, so that no gradient is NaN either.
    return torch.where(some, shared / torch.where(some, joint, 1.0), 1.0)


def mask_iou_loss(
    probs: Float[Tensor, "B O Y X"], labels: Integer[Tensor, "B Y X"], counted: Bool[Tensor, "B O"]
) -> Float[Tensor, "B"]:
    """1 minus the mean ``mask_iou`` of a sample's objects (Li et al., IJCV 2022); 0 without objects.

    Args:
        probs: Class probabilities, background first.
        labels: Slot + 1, 0 background; ``VOID`` pixels are left out of both masks.
        counted: Objects that matter; the entry of the background plays no part.
    """
    slots = torch.arange(1, probs.shape[1], device=labels.device)
    masks = (labels[:, None] == slots[:, None, None]).to(probs.dtype)
    loss = 1 - mask_iou(probs[:, 1:] * (labels != VOID)[:, None], masks)
    used = counted[:, 1:]
    return torch.where(used, loss, 0.0).sum(1) / used.sum(1).clamp_min(1)


def clip_dice(
    probs: Float[Tensor, "B K T Y X"],
    masks: Float[Tensor, "B K T Y X"],
    *,
    squared: bool = False,
    smooth: float | int = 1,
) -> Float[Tensor, "B K"]:
    """Dice coefficient of each object's volume, over time and space, in 0..1 (PCVOS, Park et al., CVPR 2022).

    (2 sum(p g) + e) / (sum(p) + sum(g) + e). The paper gives no formula; both of the usual ones are here.

    Args:
        probs: Predicted, in 0..1.
        masks: True, in 0..1.
        squared: Sums of squares in the denominator (V-Net), not of the values.
        smooth: e; with it, an object absent from both has 1.
    """
    axes = (2, 3, 4)
    shared = (probs * masks).sum(axes)
    sizes = (probs.square() + masks.square() if squared else probs + masks).sum(axes)
    return (2 * shared + smooth) / (sizes + smooth)


def clip_dice_loss(
    probs: Float[Tensor, "B O T Y X"],
    labels: Integer[Tensor, "B T Y X"],
    valid: Bool[Tensor, "B K"],
    *,
    squared: bool = False,
    smooth: float | int = 1,
) -> Float[Tensor, "B"]:
    """Sum over a sample's objects of 1 - ``clip_dice``: the clip loss of PCVOS.

    Args:
        probs: Class probabilities of the frames of a clip, background first (O = K + 1).
        labels: Slot + 1, 0 background; ``VOID`` pixels are left out of both masks.
        valid: Slots in use; the others have no loss.
        squared: See ``clip_dice``.
        smooth: See ``clip_dice``.
    """
    slots = torch.arange(1, probs.shape[1], device=labels.device)
    masks = (labels[:, None] == slots[:, None, None, None]).to(probs.dtype)
    dice = clip_dice(probs[:, 1:] * (labels != VOID)[:, None], masks, squared=squared, smooth=smooth)
    return torch.where(valid, 1 - dice, 0.0).sum(1)


def sobel(maps: Float[Tensor, "B K Y X"]) -> tuple[Float[Tensor, "B K Y X"], Float[Tensor, "B K Y X"]]:
    """Change along x and along y: Sobel's kernels without a factor, correlated; the border is repeated."""
    kernel = maps.new_tensor(SOBEL)
    padded = F.pad(maps.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    # In half precision the differences of neighbours would be rounding alone.
    with torch.autocast(maps.device.type, enabled=False):
        both = F.conv2d(padded, torch.stack([kernel, kernel.t()])[:, None])
    return both[:, 0].unflatten(0, maps.shape[:2]), both[:, 1].unflatten(0, maps.shape[:2])


def roughness(probs: Float[Tensor, "B K Y X"], valid: Bool[Tensor, "B K"]) -> Float[Tensor, "B"]:
    """Mean over pixels and objects in use of the squared ``sobel`` responses (Li et al., IJCV 2022, smooth term)."""
    along_x, along_y = sobel(probs)
    loss = (along_x.square() + along_y.square()).mean((2, 3))
    return torch.where(valid, loss, 0.0).sum(1) / valid.sum(1).clamp_min(1)


def visible_classes(labels: Integer[Tensor, "B Y X"], slots: int) -> Bool[Tensor, "B O"]:
    """Which classes have a pixel, background first; O = ``slots`` + 1. No transfer to the host."""
    # VOID gets a column of its own, which is dropped.
    flat = torch.where(labels == VOID, slots + 1, labels.long()).flatten(1)
    seen = torch.zeros(labels.shape[0], slots + 2, dtype=torch.bool, device=labels.device)
    return seen.scatter(1, flat, torch.ones_like(flat, dtype=torch.bool))[:, :-1]
