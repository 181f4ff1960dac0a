import torch

from vosfw.model.memory.global_context import GlobalContextMemory


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_mean_of_frames_and_the_transient_one():
    memory = GlobalContextMemory()
    keys, values, query = random(4, 2, 3, 8, 3, 4), random(4, 2, 3, 5, 3, 4, seed=1), random(2, 8, 2, 3, 4, seed=2)
    bank = memory.empty(keys[0], values[0])
    assert not memory.read(bank, query).any()
    bank = memory.write(bank, keys[0], values[0], keep=True)
    bank = memory.write(bank, keys[1], values[1], keep=False)
    bank = memory.write(bank, keys[2], values[2], keep=False)  # takes the place of the one before
    context = [torch.einsum("bkcn,bkdn->bkcd", keys[t].flatten(3).softmax(-1), values[t].flatten(3)) for t in (0, 2)]
    wanted = torch.einsum("bctyx,bkcd->bkdtyx", query.softmax(1), sum(context) / 2)
    torch.testing.assert_close(memory.read(bank, query), wanted)
    bank = memory.write(bank, keys[3], values[3], keep=True)
    assert bank.frames.tolist() == [2, 2] and not bank.recent_frames.any()


def test_a_mean_of_many_frames_in_half_precision():
    memory, query = GlobalContextMemory(), random(1, 4, 1, 3, 4).bfloat16()
    key, value = torch.zeros(1, 1, 4, 3, 4).bfloat16(), torch.ones(1, 1, 2, 3, 4).bfloat16()
    bank = memory.empty(key, value)
    with torch.autocast("cpu", torch.bfloat16):
        for t in range(600):
            bank = memory.write(bank, key, value * (t % 2), keep=True)
        read = memory.read(bank, query)
    assert bank.frames.tolist() == [600] and read.dtype == torch.bfloat16
    torch.testing.assert_close(read.float(), torch.full_like(read.float(), 0.5), atol=1e-2, rtol=0)


def test_its_size_does_not_grow():
    memory = GlobalContextMemory()
    key, value = random(1, 1, 8, 3, 4), random(1, 2, 5, 3, 4, seed=1)
    bank = memory.empty(key, value)
    sizes = [part.shape for part in bank]
    for _ in range(5):
        bank = memory.write(bank, key, value, keep=True)
    assert [part.shape for part in bank] == sizes
