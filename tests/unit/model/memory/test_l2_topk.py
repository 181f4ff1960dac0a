import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.model.memory.l2_topk import L2TopKMemory


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def filled(memory, frames, *, groups=1, objects=3, batch=2):
    keys, values = random(frames, batch, groups, 8, 3, 4), random(frames, batch, objects, 5, 3, 4, seed=1)
    bank = memory.empty(keys[0], values[0])
    for key, value in zip(keys, values, strict=True):
        bank = memory.write(bank, key, value, keep=True)
    return bank, keys, values


def plain(keys, values, query, top_k):
    """Written for one object and query cell at a time."""
    _, batch, groups, _, height, width = keys.shape
    objects, length = values.shape[2], query.shape[2]
    result = torch.zeros(batch, objects, values.shape[3], length, height, width)
    for b, o, t, y, x in torch.cartesian_prod(*map(torch.arange, (batch, objects, length, height, width))).tolist():
        key = keys[:, b, min(o, groups - 1)].permute(0, 2, 3, 1).reshape(-1, keys.shape[3])
        value = values[:, b, o].permute(0, 2, 3, 1).reshape(-1, values.shape[3])
        score = -(key - query[b, :, t, y, x]).square().sum(1) / keys.shape[3] ** 0.5
        best, cell = score.topk(top_k)
        result[b, o, :, t, y, x] = best.softmax(0) @ value[cell]
    return result


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("training", [False, True])
def test_read(groups, training):
    memory = L2TopKMemory(top_k=5).train(training)
    bank, keys, values = filled(memory, 2, groups=groups)
    query = random(2, 8, 2, 3, 4, seed=2)
    wanted = plain(keys, values, query, 24 if training else 5)
    torch.testing.assert_close(memory.read(bank, query), wanted, atol=1e-5, rtol=1e-4)


def test_all_cells_without_top_k():
    memory = L2TopKMemory(top_k=None).eval()
    bank, keys, values = filled(memory, 2)
    query = random(2, 8, 1, 3, 4, seed=2)
    torch.testing.assert_close(memory.read(bank, query), plain(keys, values, query, 24), atol=1e-5, rtol=1e-4)


def test_the_default_cap_does_not_bind_below_300_frames():
    memory = L2TopKMemory()
    bank, *_ = filled(memory, 61, objects=1, batch=1)
    assert bank.written.shape == (61,)
    bank, *_ = filled(memory, 70, objects=1, batch=1)
    assert bank.written.shape == (64,)
    assert bank.key.shape[2] == 64 * 12


def test_gradient_at_inference():
    """What gradient correction needs."""
    memory = L2TopKMemory(top_k=5).eval()
    key, value = random(1, 1, 8, 3, 4), random(1, 2, 5, 3, 4).requires_grad_()
    bank = memory.write(memory.empty(key, value), key, value, keep=True)
    memory.read(bank, random(1, 8, 1, 3, 4, seed=2)).square().sum().backward()
    assert value.grad.abs().sum() > 0


@pytest.mark.parametrize("options", [{"top_k": 0}, {"max_frames": 2}, {"policy": "oldest"}])
def test_options_are_checked(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        L2TopKMemory(**options)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_prior_on_motion_from_the_newest_frame(frames):
    """By hand: only the cells of the frame that was written last are held to be near."""
    memory = L2TopKMemory(top_k=None, sigma=1.5).eval()
    bank, keys, values = filled(memory, frames, objects=1, batch=1)
    query = random(1, 8, 1, 3, 4, seed=2)
    place = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0))
    cells = keys.permute(1, 2, 0, 4, 5, 3).reshape(-1, 8)
    score = -torch.cdist(query.flatten(2)[0].T, cells).square() / 8**0.5
    score[:, -12:] -= torch.cdist(place, place).square() / (2 * 1.5**2)
    wanted = score.softmax(1) @ values.permute(1, 2, 0, 4, 5, 3).reshape(-1, 5)
    torch.testing.assert_close(memory.read(bank, query)[0, 0, :, 0].flatten(1).T, wanted, atol=1e-5, rtol=1e-4)


def test_without_frames_the_prior_is_no_matter():
    memory = L2TopKMemory(sigma=2.0).eval()
    bank = memory.empty(random(1, 1, 8, 3, 4), random(1, 2, 5, 3, 4))
    assert torch.equal(memory.read(bank, random(1, 8, 1, 3, 4)), torch.zeros(1, 2, 5, 1, 3, 4))


def test_a_width_of_the_prior_must_be_positive():
    with pytest.raises(ConfigError, match=r"memory\.sigma is 0"):
        L2TopKMemory(sigma=0.0)


def test_a_bank_in_bounded_bytes():
    """A frame takes 2 x (8 + 3 x 5) x 12 numbers of four bytes; one of five is for the transient frame."""
    frame = 2 * (8 + 3 * 5) * 12 * 4
    memory = L2TopKMemory(max_bytes=5 * frame)
    bank, keys, values = filled(memory, 9)
    assert bank.written.tolist() == [0, 6, 7, 8]
    bank = memory.write(bank, keys[0], values[0], keep=False)
    assert sum(part.numel() * part.element_size() for part in (bank.key, bank.value)) == 5 * frame
    with pytest.raises(ConfigError, match=f"a frame takes {frame}; wanted at least {4 * frame}"):
        filled(L2TopKMemory(max_bytes=4 * frame - 1), 1)
