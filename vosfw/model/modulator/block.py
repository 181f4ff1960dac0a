"""One modulator: a map and a remembered map to one."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vosfw.errors import ConfigError
from vosfw.interfaces import Gate
from vosfw.model.layers.gct import GatedBottleneck

SLOTS = "SPC"
"""Self, propagation (memory of the frame before), correction (memory of the first frame)."""


class ModulatorBlock(nn.Module):
    """Three gated bottlenecks over a map and a memory, ``2 C`` to ``2 C`` to ``C`` to ``C`` (RPCM, section 3.2).

    Args:
        channels: Of the map and of the memory, ``C``.
        head_dim: Width of an object's descriptor.
        gate: Factory of gates, called with ``channels`` and ``head_dim``.
        part: Columns of the descriptor that gate this block; None for all.
    """

    def __init__(
        self, channels: int, head_dim: int, gate: Callable[..., Gate], part: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.part = part or (0, head_dim)
        width = self.part[1] - self.part[0]
        sizes = ((2 * channels, 2 * channels), (2 * channels, channels), (channels, channels))
        self.gates = nn.ModuleList(gate(channels=inside, head_dim=width) for inside, _ in sizes)
        self.blocks = nn.ModuleList(GatedBottleneck(inside, outside) for inside, outside in sizes)

    def forward(
        self,
        x: Float[Tensor, "B O C h w"],
        memory: Float[Tensor, "B O C h w"],
        head: Float[Tensor, "B O D"],
        valid: Bool[Tensor, "B O"],
    ) -> Float[Tensor, "B O C h w"]:
        """The modulated map."""
        shape, head = x.shape[:2], head[..., self.part[0] : self.part[1]]
        z = torch.cat([x, memory], 2)
        for gate, block in zip(self.gates, self.blocks, strict=True):
            z = block(z.flatten(0, 1), gate(z, head, valid).flatten(0, 1)).unflatten(0, shape)
        return z


def part_of(slot: str, head_dim: int, *, split: bool) -> tuple[int, int] | None:
    """Columns of the descriptor for a slot: with split gates the frame before's for P, the references' for C."""
    half = head_dim // 2
    return {"P": (half, head_dim), "C": (0, half)}.get(slot) if split else None


def check_slots(slots: Sequence[str], count: int | None = None) -> tuple[str, ...]:
    """The slots, if they are some of ``SLOTS``, and ``count`` of them.

    Raises:
        ConfigError: If not.
    """
    if not slots or any(len(slot) != 1 or slot not in SLOTS for slot in slots):
        raise ConfigError(f"modulator.slots is {list(slots)}; wanted one or more of S (self), P (previous), C (first)")
    if count is not None and len(slots) != count:
        raise ConfigError(f"modulator.slots is {list(slots)}; wanted {count} of S, P, C")
    return tuple(slots)
