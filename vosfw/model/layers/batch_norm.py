"""Batch norms whose statistics are frozen, or shared by all processes."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError


class FrozenBatchNorm(nn.Module):
    """A batch norm in which nothing learns: statistics and affine parameters are buffers (CFBI, section 4).

    Args:
        norm: Its values and activation are taken over.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.eps = norm.eps
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, getattr(norm, name).detach())
        self.act = _activation(norm)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """``(x - mean) / sqrt(var + eps) * weight + bias``, and the activation."""
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        activated: Tensor = self.act(x)
        return activated


class SyncBatchNorm(nn.SyncBatchNorm):
    """Statistics over the batches of all processes; torch has this on GPUs only, so a CPU uses its own batch's.

    Args:
        norm: Its values and activation are taken over.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.load_state_dict(norm.state_dict(), assign=True)
        self.act = _activation(norm)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The normalised map, and the activation."""
        alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
        if x.device.type != "cpu" and not alone:
            x = super().forward(x)
        elif self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            # A single value per channel (a pooled map of one frame) has no deviation.
            x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        else:
            x = nn.BatchNorm2d.forward(self, x)
        activated: Tensor = self.act(x)
        return activated


KINDS: dict[str, Any] = {"frozen": FrozenBatchNorm, "sync": SyncBatchNorm}


def replace_batch_norms(module: nn.Module, kind: str) -> None:
    """Put norms of another kind in the places of all batch norms; the values stay.

    Args:
        module: Changed in place.
        kind: A key of ``KINDS``.

    Raises:
        ConfigError: If there is no such kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"encoder.norm is {kind!r}; wanted {' or '.join(KINDS)}")
    for parent in list(module.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                setattr(parent, name, KINDS[kind](layer))


def conv_norm(in_channels: int, out_channels: int, kernel: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution that keeps the size, batch norm and ReLU; Kaiming normal (fan-in), as DeepLab starts."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=False)
    nn.init.kaiming_normal_(conv.weight)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def _activation(norm: nn.BatchNorm2d) -> nn.Module:
    """The activation that timm fuses into its norms; none in torch's."""
    activation = getattr(norm, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()
