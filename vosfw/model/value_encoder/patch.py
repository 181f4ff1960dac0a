"""A value encoder that needs not learn what a mask is."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.interfaces import ValueEncoder
from vosfw.types import Features


class PatchValueEncoder(ValueEncoder):
    """Values made of the patch of mask under each cell: learns within minutes where STCN's trunk takes days.

    The first two channels are the object's and the others' mean over the patch, so that reading memory propagates
    masks before anything is trained; the rest is learned from the patches and the frame's feature. The key is the
    frame's.

    Args:
        frame_channels: Channels of the coarsest feature map.
        key_dim: Width of the frame's key, which is handed on as it is.
        value_dim: Channels of a value.
        stride: Pixels per cell of the coarsest map.
    """

    shows_mask = True

    def __init__(self, frame_channels: int, key_dim: int, value_dim: int, stride: int = 8) -> None:
        super().__init__()
        self.stride = self.multiple = stride
        self.patch = nn.Conv2d(2 * stride**2, value_dim, 1)
        self.frame = nn.Conv2d(frame_channels, value_dim, 1)
        self.mix = nn.Conv2d(value_dim, value_dim - 2, 3, padding=1)
        self.out_channels = value_dim

    def prepare(self, features: Features) -> tuple[Tensor, ...]:
        """See ``ValueEncoder.prepare``."""
        return (self.frame(features.levels[0][:, 0]),)

    def forward(
        self, features: Features, probs: Float[Tensor, "B K H W"], valid: Bool[Tensor, "B K"]
    ) -> tuple[Float[Tensor, "B g Ck h w"], Float[Tensor, "B K Cv h w"]]:
        """See ``ValueEncoder.forward``; slots that are not valid get the value of an empty mask."""
        probs = probs * valid[:, :, None, None]
        masks = torch.stack([probs, probs.sum(1, keepdim=True) - probs], dim=2).flatten(0, 1)
        (frame,) = features.write or self.prepare(features)
        frame = frame.repeat_interleave(probs.shape[1], 0)
        hidden = F.relu(self.patch(F.pixel_unshuffle(masks, self.stride)) + frame)
        means = 2 * F.avg_pool2d(masks, self.stride) - 1
        value = torch.cat([means, self.mix(hidden)], dim=1).unflatten(0, probs.shape[:2])
        return features.levels[1][:, :1], value
