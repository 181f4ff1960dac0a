"""DeepLabv3+ without its classifier, as image encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vosfw.errors import ConfigError
from vosfw.interfaces import Encoder
from vosfw.model.layers.aspp import ASPP
from vosfw.model.layers.backbone import create_backbone, image_statistics, set_dilations
from vosfw.model.layers.batch_norm import replace_batch_norms
from vosfw.model.layers.deeplab_decoder import DeepLabDecoder
from vosfw.model.layers.normalize import Normalize

OUTPUT_STRIDE = 16


class DeepLabEncoder(Encoder):
    """Two maps at stride 4: the decoder's, and the backbone's first (Chen et al., DeepLabv3+, ECCV 2018).

    The features of CFBI (Yang et al., ECCV 2020, section 4) and its successors. The backbone's last stage keeps stride
    16 and is dilated instead. Every stride rounds up, so at sides of ``16 n + 1`` pixels the corners of all grids
    coincide; maps are resized with aligned corners. Frozen norms normalise nothing unless weights are loaded: with
    them, start from DeepLab weights (``encoder_weights`` of train.py), or at least from ``pretrained``.

    Args:
        name: A timm network with an output stride of 16: ResNets, MobileNets, EfficientNets.
        pretrained: Start the backbone from timm's ImageNet weights.
        norm: ``frozen``: batch norms keep statistics and affine parameters, in training too. ``sync``: both are
            learned, over the batches of all GPUs.
        bgr: Convolve blue, green, red, each normalised with the constants of the opposite channel. What the authors'
            checkpoints expect; timm's weights do not.
        multi_grid: The i-th block of a dilated stage has the dilation ``2 * multi_grid[i]`` in all its spatial
            convolutions; further blocks that of the last entry. A BasicBlock has two of them, the blocks of MobileNets
            one, their depthwise.
        rates: Dilations of the ASPP's branches.
        dropout: Behind the ASPP, in training.
        width: Channels of the first map.
        low_width: Channels to which the decoder reduces the second map.
        options: Further arguments of timm's network, such as its ``channels``.

    Raises:
        ConfigError: If timm has no such network, it cannot be dilated, or options do not fit together.
        CheckpointError: If the pretrained weights cannot be had.
    """

    def __init__(
        self,
        name: str = "resnet101.tv_in1k",
        *,
        pretrained: bool = False,
        norm: str = "frozen",
        bgr: bool = False,
        multi_grid: Sequence[int] = (1, 2, 4),
        rates: Sequence[int] = (6, 12, 18),
        dropout: float | int = 0.1,
        width: int = 256,
        low_width: int = 48,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if pretrained and bgr:
            raise ConfigError("encoder.pretrained is true, but timm's weights expect RGB; set encoder.bgr=false")
        if not multi_grid or min(*multi_grid, *rates, width, low_width) < 1:
            raise ConfigError(
                f"encoder has multi_grid {list(multi_grid)}, rates {list(rates)}, width {width} and low_width "
                f"{low_width}; wanted whole numbers from 1, and at least one in multi_grid"
            )
        options = {**(options or {}), "output_stride": OUTPUT_STRIDE}
        self.backbone = create_backbone(name, (4, OUTPUT_STRIDE), pretrained=pretrained, options=options)
        set_dilations(self.backbone, [2 * rate for rate in multi_grid])
        low, coarse = self.backbone.feature_info.channels()
        self.aspp = ASPP(coarse, width, rates, dropout)
        self.decoder = DeepLabDecoder(low, width, low_width)
        replace_batch_norms(self, norm)
        self.normalize = Normalize(*image_statistics(self.backbone), bgr=bgr)
        self.out_channels = (width, low)
        self.strides = (4, 4)
        self.pad_color = self.normalize.mean_color

    def forward(self, frames: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B _C h w"], ...]:
        """The decoder's map and the low-level map of RGB frames in 0..1, at ``h = (H - 1) // 4 + 1``."""
        low, coarse = self.backbone(self.normalize(frames).contiguous(memory_format=torch.channels_last))
        return self.decoder(self.aspp(coarse), low), low
