import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.model.memory.space_time import SpaceTimeMemory
from vosfw.ops import affinity


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def filled(memory, frames=2, groups=3, objects=3):
    keys, values = random(frames, 2, groups, 8, 3, 4), random(frames, 2, objects, 5, 3, 4, seed=1)
    bank = memory.empty(keys[0], values[0])
    for key, value in zip(keys, values, strict=True):
        bank = memory.write(bank, key, value, keep=True)
    return bank, keys, values


@pytest.mark.parametrize("groups", [1, 3])
def test_each_object_reads_by_its_own_keys(groups):
    memory = SpaceTimeMemory().eval()
    bank, keys, values = filled(memory, groups=groups)
    query = random(2, 8, 2, 3, 4, seed=2)
    read = memory.read(bank, query)
    for b, o, t, y, x in ((0, 0, 0, 0, 0), (1, 2, 1, 2, 3), (1, 1, 0, 1, 2)):
        key = keys[:, b, min(o, groups - 1)].permute(0, 2, 3, 1).reshape(-1, 8)
        value = values[:, b, o].permute(0, 2, 3, 1).reshape(-1, 5)
        wanted = (key @ query[b, :, t, y, x] / 8**0.5).softmax(0) @ value
        torch.testing.assert_close(read[b, o, :, t, y, x], wanted, atol=1e-5, rtol=1e-4)


def test_top_k_counts_at_inference_only():
    memory = SpaceTimeMemory(top_k=3)
    bank, *_ = filled(memory)
    query = random(2, 8, 1, 3, 4, seed=2)
    everything = SpaceTimeMemory().read(bank, query)
    assert torch.equal(memory.train().read(bank, query), everything)
    assert not torch.allclose(memory.eval().read(bank, query), everything)


def test_blocks_change_nothing(monkeypatch):
    memory = SpaceTimeMemory().eval()
    bank, *_ = filled(memory)
    query = random(2, 8, 1, 3, 4, seed=2)
    whole = memory.read(bank, query)
    monkeypatch.setattr(affinity, "BLOCK", 500)
    torch.testing.assert_close(memory.read(bank, query), whole, atol=1e-6, rtol=1e-5)


def test_options_are_checked():
    with pytest.raises(ConfigError, match="top_k"):
        SpaceTimeMemory(top_k=0)
    with pytest.raises(ConfigError, match="max_frames"):
        SpaceTimeMemory(max_frames=2)
