"""Collaborative ensembler: gated bottlenecks over matching maps and embeddings."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.interfaces import Ensembler, Gate, Previous
from vosfw.model.layers.gct import GatedBottleneck
from vosfw.model.layers.head_aspp import HeadASPP


class BottleneckEnsembler(Ensembler):
    """Pre-head, stages of bottlenecks with a gate before each, and a pyramid (CFBI, section 3.5; RPCM, section 3.1).

    Every stage but the first halves the grid; the first one's map goes to the decoder.

    Args:
        matching_channels: Maps per object from the matcher.
        embedding_channels: Of the embedding.
        head_dim: Width of an object's descriptor.
        gate: Factory of gates, called with ``channels`` and ``head_dim``.
        widths: Channels of each stage.
        dilations: Of each stage's bottlenecks.
        out_channels: Of the result.
        prehead: Width to which the matching maps are brought.
        masked_previous: Also take in the frame before's embedding, inside and outside of each object (CFBI).
        calibration: Factory of the gates of all bottlenecks but the first, in place of ``gate`` (AOC-Net).
        aspp_gate: Factory of the pyramid's gate, in place of ``gate``.

    Raises:
        ConfigError: If stages and dilations do not agree in number.
    """

    def __init__(
        self,
        matching_channels: int,
        embedding_channels: int,
        head_dim: int,
        gate: Callable[..., Gate],
        widths: Sequence[int] = (256, 512),
        dilations: Sequence[Sequence[int]] = ((1, 2), (1, 2, 4)),
        out_channels: int = 256,
        prehead: int = 64,
        *,
        masked_previous: bool = False,
        calibration: Callable[..., Gate] | None = None,
        aspp_gate: Callable[..., Gate] | None = None,
    ) -> None:
        super().__init__()
        if len(widths) != len(dilations) or not all(dilations):
            raise ConfigError(
                f"ensembler.widths {list(widths)} and dilations {[list(part) for part in dilations]} do not agree; "
                "wanted the dilations of one or more bottlenecks per width"
            )
        self.prehead = nn.Conv2d(matching_channels, prehead, 1)
        self.prehead_norm = nn.GroupNorm(math.gcd(16, prehead), prehead)
        nn.init.kaiming_normal_(self.prehead.weight, mode="fan_out", nonlinearity="relu")
        self.masked_previous = masked_previous
        channels = embedding_channels * (3 if masked_previous else 1) + prehead
        self.gates, self.blocks = nn.ModuleList(), nn.ModuleList()
        for stage, (width, rates) in enumerate(zip(widths, dilations, strict=True)):
            gates, blocks = nn.ModuleList(), nn.ModuleList()
            for place, rate in enumerate(rates):
                inner = gate if not (stage or place) or calibration is None else calibration
                gates.append(inner(channels=channels, head_dim=head_dim))
                stride = 2 if stage and not place else 1
                blocks.append(GatedBottleneck(channels, width, stride, rate))
                channels = width
            self.gates.append(gates)
            self.blocks.append(blocks)
        self.aspp_gate = (aspp_gate or gate)(channels=channels, head_dim=head_dim)
        self.aspp = HeadASPP(channels, out_channels)
        self.out_channels = out_channels
        self.skip_channels = widths[0]
        self.stride = 2 ** (len(widths) - 1)

    def forward(
        self,
        query: Float[Tensor, "B C h w"],
        maps: Float[Tensor, "B O M h w"],
        previous: Previous,
        head: Float[Tensor, "B O D"],
        valid: Bool[Tensor, "B O"],
    ) -> tuple[Float[Tensor, "B O E y x"], Float[Tensor, "B O S h w"]]:
        """See ``Ensembler``."""
        shape = maps.shape[:2]
        correlation = F.relu(self.prehead_norm(self.prehead(maps.flatten(0, 1)))).unflatten(0, shape)
        shared = query[:, None].expand(-1, shape[1], -1, -1, -1)
        parts = [shared, correlation]
        if self.masked_previous:
            inside = previous.embedding[:, None] * previous.probs[:, :, None]
            parts[1:1] = [inside, previous.embedding[:, None] - inside]
        x, skip = torch.cat(parts, 2), None
        del parts, correlation
        for gates, blocks in zip(self.gates, self.blocks, strict=True):
            assert isinstance(gates, nn.ModuleList) and isinstance(blocks, nn.ModuleList)
            for gate, block in zip(gates, blocks, strict=True):
                x = block(x.flatten(0, 1), gate(x, head, valid).flatten(0, 1)).unflatten(0, shape)
            skip = x if skip is None else skip
        assert skip is not None
        gains = self.aspp_gate(x, head, valid)
        return self.aspp(x.flatten(0, 1), gains.flatten(0, 1)).unflatten(0, shape), skip
