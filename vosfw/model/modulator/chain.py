"""Modulators one behind the other."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vosfw.interfaces import Gate, Modulator
from vosfw.model.modulator.block import ModulatorBlock, check_slots, part_of


class ModulatorState(NamedTuple):
    """A remembered map per slot; ``S`` slots have an empty one."""

    memories: tuple[Float[Tensor, "B O C h w"], ...]
    ready: Bool[Tensor, "B S"]
    """Whether each slot's memory holds anything; they are void before the first frame, and after objects joined."""


class ModulatorChain(Modulator[ModulatorState]):
    """Slots in a row, such as P, C: the propagation-correction modulator (RPCM, section 3.2, table 3).

    A slot's memory is its own input: in a P slot that of the frame before, in a C slot that of the first predicted
    frame, in an S slot the present one. A void memory is replaced by the present input. No gradient enters a memory.

    Args:
        channels: Of the map.
        head_dim: Width of an object's descriptor.
        gate: Factory of gates, called with ``channels`` and ``head_dim``.
        slots: Letters S, P, C.
        split_gates: Gate P slots by the frame before's half of the descriptor and C slots by the references' half
            (paper); otherwise all by the whole (as released).

    Raises:
        ConfigError: If a slot is unknown.
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
        super().__init__()
        self.slots = check_slots(slots)
        self.blocks = nn.ModuleList(
            ModulatorBlock(channels, head_dim, gate, part_of(slot, head_dim, split=split_gates)) for slot in self.slots
        )
        self.out_channels = channels

    def empty(self, x: Float[Tensor, "B O C h w"]) -> ModulatorState:
        """See ``Modulator.empty``."""
        ready = torch.zeros(x.shape[0], len(self.slots), dtype=torch.bool, device=x.device)
        memories = tuple(x.new_zeros(0) if slot == "S" else torch.zeros_like(x) for slot in self.slots)
        return ModulatorState(memories, ready)

    def reset(self, state: ModulatorState, changed: Bool[Tensor, "B"]) -> ModulatorState:
        """See ``Modulator.reset``."""
        return state._replace(ready=state.ready & ~changed[:, None])

    def prime(self, state: ModulatorState, x: Float[Tensor, "B O C h w"]) -> ModulatorState:
        """See ``Modulator.prime``."""
        slots = zip(self.slots, state.memories, strict=True)
        corrects = torch.tensor([slot == "C" for slot in self.slots], device=x.device)
        memories = tuple(x.detach() if slot == "C" else memory for slot, memory in slots)
        return ModulatorState(memories, state.ready | corrects)

    def forward(
        self,
        x: Float[Tensor, "B O C h w"],
        head: Float[Tensor, "B O D"],
        valid: Bool[Tensor, "B O"],
        state: ModulatorState,
    ) -> tuple[Float[Tensor, "B O C h w"], ModulatorState]:
        """See ``Modulator``."""
        memories = []
        for i, (slot, block, memory) in enumerate(zip(self.slots, self.blocks, state.memories, strict=True)):
            read = recall(slot, memory, x, state.ready[:, i])
            memories.append(remember(slot, memory, x, read))
            x = block(x, read, head, valid)
        return x, ModulatorState(tuple(memories), torch.ones_like(state.ready))


def recall(slot: str, memory: Tensor, x: Float[Tensor, "B O C h w"], ready: Bool[Tensor, "B"]) -> Tensor:
    """What a slot reads."""
    if slot == "S":
        return x.detach()
    return torch.where(ready[:, None, None, None, None], memory.to(x.dtype), x.detach())


def remember(slot: str, memory: Tensor, x: Float[Tensor, "B O C h w"], read: Tensor) -> Tensor:
    """What a slot remembers of this frame."""
    if slot == "S":
        return memory
    return x.detach() if slot == "P" else read
