"""STCN's value encoder."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vosfw.errors import ConfigError
from vosfw.interfaces import ValueEncoder
from vosfw.model.layers.cbam import CBAM
from vosfw.model.layers.normalize import Normalize
from vosfw.model.layers.res_block import FrameHalf, ResBlock, SplitResBlock
from vosfw.model.layers.trunk import Trunk
from vosfw.types import Features

MASK_CHANNELS = 2
"""The object's own mask, and the sum of the other objects' masks."""


class Fuser(nn.Module):
    """Joins an object's features and its frame's: residual block, CBAM, residual block (STCN, as released)."""

    def __init__(self, object_channels: int, frame_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block1 = SplitResBlock(object_channels, frame_channels, out_channels)
        self.attention = CBAM(out_channels)
        self.block2 = ResBlock(out_channels, out_channels)

    def forward(self, x: Float[Tensor, "R C h w"], half: FrameHalf) -> Float[Tensor, "R E h w"]:
        """The fused map of ``R`` = frames x objects maps; ``half`` is ``block1.frame_half`` of the frame's map."""
        x = self.block1(x, half)
        fused: Tensor = self.block2(x + self.attention(x))
        return fused


class STCNValueEncoder(ValueEncoder):
    """Values from the frame, the object's mask and the sum of the others (STCN, section 3.1); the key is the frame's.

    ``Features.levels`` hold the coarsest feature map first and the key second (see ``MemoryNetwork``).

    Args:
        frame_channels: Channels of the coarsest feature map.
        key_dim: Width of the frame's key, which is handed on as it is.
        value_dim: Channels of a value.
        trunk: Factory of the trunk, called with ``mask_channels``.
        object_chunk: Most objects encoded at once, to save memory; None for all.

    Raises:
        ConfigError: If ``object_chunk`` is below 1.
    """

    def __init__(
        self,
        frame_channels: int,
        key_dim: int,
        value_dim: int,
        trunk: Callable[..., Trunk],
        object_chunk: int | None = None,
    ) -> None:
        super().__init__()
        if object_chunk is not None and object_chunk < 1:
            raise ConfigError(f"value_encoder.object_chunk is {object_chunk}; wanted a number from 1, or null for all")
        self.trunk = trunk(mask_channels=MASK_CHANNELS)
        self.fuser = Fuser(self.trunk.out_channels, frame_channels, value_dim)
        self.normalize = Normalize()
        self.out_channels = value_dim
        self.stride = self.trunk.stride
        self.object_chunk = object_chunk

    def prepare(self, features: Features) -> tuple[Tensor, ...]:
        """See ``ValueEncoder.prepare``: the frame's part of the first convolution and of the fuser's first block."""
        frame = self.normalize(features.frames[:, 0]).contiguous(memory_format=torch.channels_last)
        return self.trunk.frame_half(frame), *self.fuser.block1.frame_half(features.levels[0][:, 0])

    def forward(
        self, features: Features, probs: Float[Tensor, "B K H W"], valid: Bool[Tensor, "B K"]
    ) -> tuple[Float[Tensor, "B g Ck h w"], Float[Tensor, "B K Cv h w"]]:
        """See ``ValueEncoder.forward``; slots that are not valid get the value of an empty mask."""
        objects = probs.shape[1]
        probs = probs * valid[:, :, None, None]
        masks = torch.stack([probs, probs.sum(1, keepdim=True) - probs], dim=2)
        stem, *fuse = features.write or self.prepare(features)
        values = []
        for chunk in masks.split(self.object_chunk or max(objects, 1), dim=1):
            x = self.trunk(chunk.flatten(0, 1).contiguous(memory_format=torch.channels_last), stem)
            values.append(self.fuser(x, FrameHalf(*fuse)).unflatten(0, (-1, chunk.shape[1])))
        return features.levels[1][:, :1], values[0] if len(values) == 1 else torch.cat(values, dim=1)
