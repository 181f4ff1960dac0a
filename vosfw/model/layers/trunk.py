"""Trunks of value encoders: a frame and an object's masks to one map at stride 16."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from vosfw.errors import ConfigError
from vosfw.model.layers.backbone import create_backbone, freeze_statistics
from vosfw.model.layers.conv_stage import conv_stage
from vosfw.model.layers.split_conv import SplitConv2d

STAGES = (2, 4, 8, 16)
"""Strides in pixels, each half the last."""


class Trunk(nn.Module, ABC):
    """The frame's part of the first convolution is shared by all objects, so it is computed apart."""

    out_channels: int
    stride: int
    """Pixels per cell of the features."""
    stem: SplitConv2d

    def frame_half(self, frames: Float[Tensor, "F 3 H W"]) -> Float[Tensor, "F E y x"]:
        """What the first convolution makes of normalised frames."""
        return self.stem.frame_half(frames)

    @abstractmethod
    def forward(self, masks: Float[Tensor, "R M H W"], half: Float[Tensor, "F E y x"]) -> Float[Tensor, "R C h w"]:
        """Features of ``R`` = frames x objects masks; ``half`` comes from ``frame_half``."""


class ResNetTrunk(Trunk):
    """A timm ResNet without its last stage, batch norms frozen: STCN's and STM's memory encoder.

    Args:
        mask_channels: Channels beside RGB.
        name: A ResNet of timm with a plain 7x7 stem.
        pretrained: Start from timm's ImageNet weights; the weights of the mask channels start orthogonal.
        conv_bias: Whether convolutions have a bias before their batch norm, as STCN has and STM has not.

    Raises:
        ConfigError: If the network's first layer is no plain convolution.
        CheckpointError: If the pretrained weights cannot be had.
    """

    def __init__(
        self, mask_channels: int, name: str = "resnet18", *, pretrained: bool = False, conv_bias: bool = True
    ) -> None:
        super().__init__()
        body = create_backbone(name, STAGES[-1:], pretrained=pretrained)
        stem = getattr(body, "conv1", None)
        if not isinstance(stem, nn.Conv2d):
            raise ConfigError(f"value_encoder.trunk.name is {name}; wanted a ResNet with one 7x7 stem, like resnet18")
        self.out_channels = int(body.feature_info.channels()[-1])
        self.stride = int(body.feature_info.reduction()[-1])
        del body["conv1"]
        if conv_bias:
            for layer in body.modules():
                if isinstance(layer, nn.Conv2d) and layer.bias is None:
                    layer.bias = nn.Parameter(layer.weight.new_zeros(layer.out_channels))
        width, kernel = stem.out_channels, stem.kernel_size[0]
        self.stem = SplitConv2d(mask_channels, 3, width, kernel, 2, frame_first=True, bias=conv_bias)
        self.stem.load_frame_weight(stem.weight)
        if self.stem.bias is not None:
            nn.init.zeros_(self.stem.bias)
        self.body = nn.Sequential(OrderedDict(body.items()))

    def train(self, mode: bool = True) -> "ResNetTrunk":
        """Switch between training and evaluation; batch norms stay in evaluation, so that padding slots do not leak."""
        super().train(mode)
        freeze_statistics(self)
        return self

    def forward(self, masks: Float[Tensor, "R M H W"], half: Float[Tensor, "F E y x"]) -> Float[Tensor, "R C h w"]:
        """See ``Trunk.forward``."""
        features: Tensor = self.body(self.stem(masks, half))
        return features


class SmallTrunk(Trunk):
    """A few plain convolutions with group norm, which learn from scratch within minutes.

    Args:
        mask_channels: Channels beside RGB.
        widths: Channels at strides 2, 4, 8 and 16; where there are fewer, the trunk ends at the last one's stride.
        depth: Convolutions per stride from 4 on.

    Raises:
        ConfigError: If there are more strides than that, or fewer than two.
    """

    def __init__(self, mask_channels: int, widths: Sequence[int] = (16, 32, 48, 64), depth: int = 1) -> None:
        super().__init__()
        if not 2 <= len(widths) <= len(STAGES):
            raise ConfigError(
                f"value_encoder.trunk.widths is {list(widths)}; wanted two to four, for strides 2, 4, 8 and 16"
            )
        self.out_channels = widths[-1]
        self.stride = 2 ** len(widths)
        self.stem = SplitConv2d(mask_channels, 3, widths[0], 3, 2, frame_first=True)
        stages = [conv_stage(a, b, depth) for a, b in pairwise(widths)]
        self.body = nn.Sequential(nn.ReLU(), *stages)

    def forward(self, masks: Float[Tensor, "R M H W"], half: Float[Tensor, "F E y x"]) -> Float[Tensor, "R C h w"]:
        """See ``Trunk.forward``."""
        features: Tensor = self.body(self.stem(masks, half))
        return features
