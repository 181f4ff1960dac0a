"""Cells that are not to be trusted are not read, whatever the memory."""

import pytest
import torch

from vosfw.model.memory.global_context import GlobalContextMemory
from vosfw.model.memory.kernelized import KernelizedMemory
from vosfw.model.memory.l2_topk import L2TopKMemory
from vosfw.model.memory.progressive import ProgressiveMemory
from vosfw.model.memory.space_time import SpaceTimeMemory

MEMORIES = {
    "l2": L2TopKMemory(top_k=4),
    "l2_all": L2TopKMemory(top_k=None, sigma=2.0),
    "dot": SpaceTimeMemory(),
    "kernelized": KernelizedMemory(),
    "context": GlobalContextMemory(),
    "progressive": ProgressiveMemory(L2TopKMemory(top_k=4), segment=1),
}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("keep", [True, False], ids=["permanent", "transient"])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
def test_nothing_depends_on_cells_that_are_not_trusted(memory, groups, keep):
    memory.eval()
    trusted = random(2, 3, 4, seed=5) > 0
    query = random(2, 8, 2, 3, 4, seed=2)

    def read(seed, trusted):
        """Two frames; ``seed`` moves the cells of the second that are not trusted."""
        key, value = random(2, groups, 8, 3, 4), random(2, 3, 5, 3, 4, seed=1)
        bank = memory.write(memory.empty(key, value), key, value, keep=True)
        hidden = ~(random(2, 3, 4, seed=5) > 0)[:, None, None]
        key = torch.where(hidden, random(*key.shape, seed=seed), key + 1)
        value = torch.where(hidden, random(*value.shape, seed=seed + 1), value + 1)
        return memory.read(memory.write(bank, key, value, trusted, keep=keep), query)

    assert torch.equal(read(7, trusted), read(9, trusted))
    assert not torch.allclose(read(7, None), read(9, None))
    assert torch.equal(read(7, None), read(7, torch.ones_like(trusted)))


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
def test_a_memory_without_a_cell_to_trust_is_read_all_the_same(memory):
    key, value = random(1, 1, 8, 3, 4), random(1, 2, 5, 3, 4, seed=1)
    query = random(1, 8, 1, 3, 4, seed=2)
    nothing = memory.write(memory.empty(key, value), key, value, torch.zeros(1, 3, 4, dtype=torch.bool), keep=True)
    everything = memory.write(memory.empty(key, value), key, value, keep=True)
    torch.testing.assert_close(memory.read(nothing, query), memory.read(everything, query), atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize("keep", [True, False], ids=["permanent", "transient"])
@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
def test_a_frame_without_a_cell_to_trust_is_not_read_beside_another(memory, keep):
    """In one video of the batch; in the other one it is."""
    memory.eval()
    key, value, query = random(2, 1, 8, 3, 4), random(2, 2, 5, 3, 4, seed=1), random(2, 8, 1, 3, 4, seed=2)
    bank = memory.write(memory.empty(key, value), key, value, keep=True)
    trusted = torch.tensor([False, True])[:, None, None].expand(2, 3, 4)
    one, other = (memory.read(memory.write(bank, key, value + x, trusted, keep=keep), query) for x in (3, 9))
    read = memory.read(memory.write(bank, key, value + 9, keep=keep), query)
    torch.testing.assert_close(one[0], other[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(other[1], read[1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(other[0], read[0], atol=0.1)
