import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.model.memory.kernelized import KernelizedMemory
from vosfw.model.memory.space_time import SpaceTimeMemory
from vosfw.ops import affinity


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def filled(memory, key, value):
    return memory.write(memory.empty(key, value), key, value, keep=True)


def test_a_cell_is_read_near_where_it_is_found_again():
    """Two cells of the frame look like the same memory cell; only the better match is near its kernel."""
    key = torch.zeros(1, 1, 2, 1, 10)
    key[0, 0, :, 0, 0], key[0, 0, :, 0, 9] = torch.tensor([10.0, 0.0]), torch.tensor([0.0, 4.0])
    value = torch.arange(10.0).reshape(1, 1, 1, 1, 10)
    value[..., 0] = 100.0
    query = torch.zeros(1, 2, 1, 1, 10)
    query[0, 0, 0, 0, 2] = 5.0
    query[0, :, 0, 0, 9] = torch.tensor([4.0, 5.0])
    memory = KernelizedMemory(sigma=1.0, sharpness=None).eval()
    read = memory.read(filled(memory, key, value), query)[0, 0, 0, 0, 0]
    plain = SpaceTimeMemory().eval()
    without = plain.read(filled(plain, key, value), query)[0, 0, 0, 0, 0]
    assert without[2] > 99 and without[9] > 99
    assert read[2] > 99 and read[9] < 50


def test_a_wide_kernel_is_none():
    key, value, query = random(2, 3, 8, 3, 4), random(2, 3, 5, 3, 4, seed=1), random(2, 8, 2, 3, 4, seed=2)
    kernel, plain = KernelizedMemory(sigma=1e4).eval(), SpaceTimeMemory().eval()
    torch.testing.assert_close(
        kernel.read(filled(kernel, key, value), query), plain.read(filled(plain, key, value), query)
    )


def test_frames_of_a_clip_are_read_as_if_alone():
    key, value, query = random(2, 3, 8, 3, 4), random(2, 3, 5, 3, 4, seed=1), random(2, 8, 3, 3, 4, seed=2)
    memory = KernelizedMemory(sigma=2).eval()
    bank = filled(memory, key, value)
    whole = memory.read(bank, query)
    alone = torch.cat([memory.read(bank, query[:, :, t : t + 1]) for t in range(3)], dim=3)
    torch.testing.assert_close(whole, alone, atol=1e-6, rtol=1e-5)


def test_training_with_and_without_kernel():
    key, value, query = random(1, 1, 8, 3, 4), random(1, 1, 5, 3, 4, seed=1), random(1, 8, 1, 3, 4, seed=2)
    memory, plain = KernelizedMemory(sigma=1, train_kernel=False), SpaceTimeMemory()
    bank = filled(memory, key, value)
    assert torch.equal(memory.train().read(bank, query), plain.train().read(bank, query))
    assert not torch.allclose(memory.eval().read(bank, query), plain.read(bank, query))


def test_gradient_goes_through_the_place(monkeypatch):
    key, value, query = (random(1, 1, 8, 3, 4), random(1, 1, 5, 3, 4, seed=1), random(1, 8, 1, 3, 4, seed=2))
    monkeypatch.setattr(affinity, "BLOCK", 20)
    parts = [x.double().requires_grad_() for x in (key, value, query)]
    memory = KernelizedMemory(sigma=1.5, sharpness=2.0)
    memory.read(filled(memory, parts[0], parts[1]), parts[2]).square().sum().backward()
    step = 1e-2
    for part in (parts[0], parts[2]):
        at = (0,) * part.ndim
        losses = []
        for sign in (1, -1):
            moved = [p.detach().clone() for p in parts]
            moved[[p is part for p in parts].index(True)][at] += sign * step
            losses.append(memory.read(filled(memory, moved[0], moved[1]), moved[2]).square().sum())
        torch.testing.assert_close(
            part.grad[at].item(), ((losses[0] - losses[1]) / 2 / step).item(), atol=1e-2, rtol=5e-2
        )


def test_places_are_exact_under_autocast():
    key, value, query = random(1, 1, 8, 12, 40) * 4, random(1, 1, 5, 12, 40, seed=1), random(1, 8, 1, 12, 40, seed=2)
    memory = KernelizedMemory(sigma=2).eval()
    bank = filled(memory, key, value)
    wanted = memory.read(bank, query)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(memory.read(bank, query), wanted, atol=1e-6, rtol=1e-5)


def test_an_empty_bank_gives_zeros():
    key, value = random(1, 2, 8, 3, 4), random(1, 2, 5, 3, 4)
    memory = KernelizedMemory().eval()
    read = memory.read(memory.empty(key, value), random(1, 8, 1, 3, 4))
    assert read.shape == (1, 2, 5, 1, 3, 4) and not read.any()


@pytest.mark.parametrize("options", [{"sigma": 0.0}, {"sharpness": -1.0}])
def test_options_are_checked(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        KernelizedMemory(**options)
