"""STM's memory encoder."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vosfw.errors import ConfigError
from vosfw.interfaces import ValueEncoder
from vosfw.model.layers.normalize import Normalize
from vosfw.model.layers.trunk import Trunk
from vosfw.types import Features

BESIDE = ("background", "others")


class STMValueEncoder(ValueEncoder):
    """Keys and values from the frame, the object's mask and a second mask (STM, Oh et al., ICCV 2019, section 3.1).

    The trunk shares no weights with the frame's encoder, and the keys depend on the object: ``g`` = K groups.

    Args:
        frame_channels: Not used: frames go through the trunk once more.
        key_dim: Width of the keys.
        value_dim: Width of the values.
        trunk: Factory of the trunk, called with ``mask_channels``.
        beside: The second mask: ``background``, ``1 - mask`` (the cyclic mechanism's release), or ``others``, the sum
            of the other objects' masks (the original STM); clipped to 0..1, which the first mask is not: a correction
            may have brought it outside.
        object_chunk: Most objects encoded at once, to save memory; None for all.

    Raises:
        ConfigError: If ``beside`` is unknown or ``object_chunk`` below 1.
    """

    def __init__(
        self,
        frame_channels: int,
        key_dim: int,
        value_dim: int,
        trunk: Callable[..., Trunk],
        beside: str = "background",
        object_chunk: int | None = None,
    ) -> None:
        super().__init__()
        if beside not in BESIDE:
            raise ConfigError(f"value_encoder.beside is {beside!r}; wanted {' or '.join(BESIDE)}")
        if object_chunk is not None and object_chunk < 1:
            raise ConfigError(f"value_encoder.object_chunk is {object_chunk}; wanted a number from 1, or null for all")
        self.trunk = trunk(mask_channels=2)
        self.key_proj = nn.Conv2d(self.trunk.out_channels, key_dim, 3, padding=1)
        self.value_proj = nn.Conv2d(self.trunk.out_channels, value_dim, 3, padding=1)
        self.normalize = Normalize()
        self.out_channels = value_dim
        self.stride = self.trunk.stride
        self.beside = beside
        self.object_chunk = object_chunk

    def prepare(self, features: Features) -> tuple[Tensor, ...]:
        """See ``ValueEncoder.prepare``: the first convolution of the frame."""
        frame = self.normalize(features.frames[:, 0]).contiguous(memory_format=torch.channels_last)
        return (self.trunk.frame_half(frame),)

    def forward(
        self, features: Features, probs: Float[Tensor, "B K H W"], valid: Bool[Tensor, "B K"]
    ) -> tuple[Float[Tensor, "B g Ck h w"], Float[Tensor, "B K Cv h w"]]:
        """See ``ValueEncoder.forward``; slots that are not valid get the key and value of an empty mask."""
        probs = probs * valid[:, :, None, None]
        other = 1 - probs if self.beside == "background" else probs.sum(1, keepdim=True) - probs
        masks = torch.stack([probs, other.clamp(0, 1)], dim=2)
        (stem,) = features.write or self.prepare(features)
        keys, values = [], []
        for chunk in masks.split(self.object_chunk or max(probs.shape[1], 1), dim=1):
            x = self.trunk(chunk.flatten(0, 1).contiguous(memory_format=torch.channels_last), stem)
            keys.append(self.key_proj(x).unflatten(0, chunk.shape[:2]))
            values.append(self.value_proj(x).unflatten(0, chunk.shape[:2]))
        return torch.cat(keys, 1), torch.cat(values, 1)
