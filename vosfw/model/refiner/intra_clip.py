"""PCVOS's refinement of the read-outs of a clip."""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vosfw.errors import ConfigError
from vosfw.interfaces import Refiner
from vosfw.model.layers.window_attention import WindowAttention, WindowBlock
from vosfw.ops.windows import INDEX

CELLS = 2**15
"""Cells of objects refined at once when no gradient is wanted: 64 MiB of values 512 wide, held a few times."""


class IntraClipRefiner(Refiner):
    """Intra-clip refinement (PCVOS, Park et al., CVPR 2022, section 3.2): read-outs attend to their neighbours.

    A 3-D shifted-window transformer whose keys come from the frames and stay the same in all blocks; only the values
    change. So the attention of a clip is computed once, for all objects. A clip may have any number of frames.
    Deviations from the paper's formulas, as in the released code and weights: a bias by relative position, and a
    normalisation after the last block.

    Args:
        frame_channels: Channels of the frame's coarsest map.
        value_channels: Channels of the read-out.
        key_dim: Width of the keys.
        depth: Blocks; every second one has its windows shifted by half their sides.
        window: Sides of a window: frames, rows, columns of cells.
        mlp_ratio: Width of the hidden layer, in widths of the value.
        shared_projection: Project queries and keys alike (as released).
        final_norm: Normalise the result (as released).
        clamped_index: How relative positions are counted in windows that a small map makes less high or wide:
            ``corner``, wrongly, as released, or ``exact``. The same from 128 pixels on.
        attend_padding: Let cells that only pad a window take part (as released).

    Raises:
        ConfigError: If an option is out of range.
    """

    def __init__(
        self,
        frame_channels: int,
        value_channels: int,
        key_dim: int = 256,
        depth: int = 2,
        window: Sequence[int] = (2, 7, 7),
        mlp_ratio: float | int = 4.0,
        shared_projection: bool = True,
        final_norm: bool = True,
        clamped_index: str = "corner",
        attend_padding: bool = True,
    ) -> None:
        super().__init__()
        if len(window) != 3 or min(window) < 1:
            raise ConfigError(f"refiner.window is {list(window)}; wanted frames, rows and columns of cells, each >= 1")
        if clamped_index not in INDEX:
            raise ConfigError(f"refiner.clamped_index is {clamped_index!r}; wanted {' or '.join(INDEX)}")
        if min(key_dim, depth) < 1 or mlp_ratio * value_channels < 1:
            raise ConfigError(
                f"refiner has key_dim={key_dim}, depth={depth}, mlp_ratio={mlp_ratio}; wanted key_dim and depth >= 1 "
                "and a hidden layer with at least one channel"
            )
        self.key_proj = nn.Conv2d(frame_channels, key_dim, 3, padding=1)
        self.blocks = nn.ModuleList(
            WindowBlock(
                key_dim,
                value_channels,
                int(mlp_ratio * value_channels),
                WindowAttention(
                    key_dim,
                    value_channels,
                    (window[0], window[1], window[2]),
                    shared_projection=shared_projection,
                    clamped_index=clamped_index,
                    padding=attend_padding,
                ),
                shifted=bool(i % 2),
            )
            for i in range(depth)
        )
        self.norm = nn.LayerNorm(value_channels) if final_norm else nn.Identity()
        nn.init.orthogonal_(self.key_proj.weight)
        for name, parameter in self.named_parameters():
            if name.endswith(".bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                nn.init.trunc_normal_(parameter, std=0.02)

    def prepare(self, frames: Float[Tensor, "B T C h w"]) -> tuple[Float[Tensor, "B _W _N _N"], ...]:
        """See ``Refiner.prepare``: the attention of every block."""
        key = self.key_proj(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).permute(0, 1, 3, 4, 2)
        return tuple(block.weights(key) for block in cast(Sequence[WindowBlock], self.blocks))

    def forward(
        self, value: Float[Tensor, "B K C T h w"], prepared: tuple[Tensor, ...]
    ) -> Float[Tensor, "B K C T h w"]:
        """See ``Refiner.forward``."""
        rows = value.permute(0, 3, 4, 5, 1, 2)
        cells, objects = rows[0, ..., 0, 0].numel(), max(rows.shape[4], 1)
        step = objects if torch.is_grad_enabled() else max(CELLS // cells, 1)
        if step >= objects:
            return self._refine(rows.contiguous(), prepared).permute(0, 4, 5, 1, 2, 3)
        # Filled chunk by chunk: joined at the end, the values would be there twice.
        refined = torch.empty(rows.shape, dtype=value.dtype, device=value.device)
        for chunk, room in zip(rows.split(step, dim=4), refined.split(step, dim=4), strict=True):
            room.copy_(self._refine(chunk.contiguous(), prepared))
        return refined.permute(0, 4, 5, 1, 2, 3)

    def _refine(self, rows: Float[Tensor, "B T h w k C"], prepared: tuple[Tensor, ...]) -> Float[Tensor, "B T h w k C"]:
        for block, weights in zip(self.blocks, prepared, strict=True):
            rows = block(rows, weights)
        refined: Tensor = self.norm(rows)
        return refined
