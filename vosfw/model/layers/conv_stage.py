"""Plain convolutions for networks that learn from scratch."""

from torch import nn

GROUPS = 8
"""Of the group norms."""


def conv_stage(in_channels: int, out_channels: int, depth: int = 1) -> nn.Sequential:
    """Convolutions with group norm and ReLU, of which the first halves the size.

    Group norm needs no batch statistics, so batches may be small and padding slots do not leak.
    """
    layers: list[nn.Module] = []
    for i in range(depth):
        conv = nn.Conv2d(in_channels if i == 0 else out_channels, out_channels, 3, 2 if i == 0 else 1, 1, bias=False)
        layers += [conv, nn.GroupNorm(GROUPS, out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
