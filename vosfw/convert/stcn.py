"""Names of the official STCN checkpoints (github.com/hkchengrex/STCN), stages 0 to 3."""

import torch
from torch import Tensor

from vosfw.convert.table import Rule


def add_mask_channel(weight: Tensor, wanted: torch.Size) -> Tensor:
    """A first convolution for RGB, mask and other masks; the single-object stage 0 lacks the last channel: zero.

    A zero channel leaves every result as it was, and learns when the training goes on.
    """
    if weight.ndim == 4 and weight.shape[1] == 4 and wanted[1] == 5:
        return torch.cat([weight, weight.new_zeros(weight.shape[0], 1, *weight.shape[2:])], dim=1)
    return weight


RULES = (
    Rule(r"key_encoder\.(conv1|bn1)\.(\w+)", r"encoder.backbone.\1.\2"),
    Rule(r"key_encoder\.res2\.(.+)", r"encoder.backbone.layer1.\1"),
    Rule(r"key_encoder\.layer([23])\.(.+)", r"encoder.backbone.layer\1.\2"),
    Rule(r"key_proj\.key_proj\.(\w+)", r"key_proj.\1"),
    Rule(r"key_comp\.(\w+)", r"value_proj.\1"),
    Rule(r"value_encoder\.conv1\.weight", "value_encoder.trunk.stem.weight", transform=add_mask_channel),
    Rule(r"value_encoder\.conv1\.bias", "value_encoder.trunk.stem.bias"),
    Rule(r"value_encoder\.(bn1|layer[123])\.(.+)", r"value_encoder.trunk.body.\1.\2"),
    Rule(r"value_encoder\.fuser\.(block[12])\.downsample\.(\w+)", r"value_encoder.fuser.\1.shortcut.\2"),
    Rule(r"value_encoder\.fuser\.(block[12]\.conv[12])\.(\w+)", r"value_encoder.fuser.\1.\2"),
    Rule(
        r"value_encoder\.fuser\.attention\.ChannelGate\.mlp\.1\.(\w+)",
        r"value_encoder.fuser.attention.channel_gate.0.\1",
    ),
    Rule(
        r"value_encoder\.fuser\.attention\.ChannelGate\.mlp\.3\.(\w+)",
        r"value_encoder.fuser.attention.channel_gate.2.\1",
    ),
    Rule(
        r"value_encoder\.fuser\.attention\.SpatialGate\.spatial\.conv\.(\w+)",
        r"value_encoder.fuser.attention.spatial_gate.\1",
    ),
    Rule(r"decoder\.compress\.downsample\.(\w+)", r"decoder.compress.shortcut.\1"),
    Rule(r"decoder\.compress\.(conv[12])\.(\w+)", r"decoder.compress.\1.\2"),
    Rule(r"decoder\.up_16_8\.skip_conv\.(\w+)", r"decoder.ups.0.skip_conv.\1"),
    Rule(r"decoder\.up_16_8\.out_conv\.downsample\.(\w+)", r"decoder.ups.0.block.shortcut.\1"),
    Rule(r"decoder\.up_16_8\.out_conv\.(conv[12])\.(\w+)", r"decoder.ups.0.block.\1.\2"),
    Rule(r"decoder\.up_8_4\.skip_conv\.(\w+)", r"decoder.ups.1.skip_conv.\1"),
    Rule(r"decoder\.up_8_4\.out_conv\.(conv[12])\.(\w+)", r"decoder.ups.1.block.\1.\2"),
    Rule(r"decoder\.pred\.(\w+)", r"decoder.pred.\1"),
)
