"""A propagation and a correction modulator side by side."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosfw.interfaces import Gate
from vosfw.model.modulator.block import ModulatorBlock, check_slots
from vosfw.model.modulator.chain import ModulatorChain, ModulatorState, recall, remember


class ParallelModulator(ModulatorChain):
    """Slots that read the same map; one more block fuses what they say (RPCM, table 3, "P&C").

    The paper gives no detail of the fusion: here the fusing block takes the first slot's result for the map and the
    second one's for the memory.

    Args:
        channels: Of the map.
        head_dim: Width of an object's descriptor.
        gate: Factory of gates, called with ``channels`` and ``head_dim``.
        slots: Two letters of S, P, C.
        split_gates: See ``ModulatorChain``.

    Raises:
        ConfigError: If a slot is unknown, or there are not two.
    """

    def __init__(
        self,
        channels: int,
        head_dim: int,
        gate: Callable[..., Gate],
        slots: Sequence[str] = ("P", "C"),
        *,
        split_gates: bool = False,
    ) -> None:
        super().__init__(channels, head_dim, gate, check_slots(slots, count=2), split_gates=split_gates)
        self.fuse = ModulatorBlock(channels, head_dim, gate)

    def forward(
        self,
        x: Float[Tensor, "B O C h w"],
        head: Float[Tensor, "B O D"],
        valid: Bool[Tensor, "B O"],
        state: ModulatorState,
    ) -> tuple[Float[Tensor, "B O C h w"], ModulatorState]:
        """See ``Modulator``."""
        memories, results = [], []
        for i, (slot, block, memory) in enumerate(zip(self.slots, self.blocks, state.memories, strict=True)):
            read = recall(slot, memory, x, state.ready[:, i])
            memories.append(remember(slot, memory, x, read))
            results.append(block(x, read, head, valid))
        fused = self.fuse(results[0], results[1], head, valid)
        return fused, ModulatorState(tuple(memories), torch.ones_like(state.ready))
