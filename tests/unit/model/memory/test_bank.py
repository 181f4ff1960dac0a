import pytest
import torch

from vosfw.model.memory.bank import empty_bank, write_frame


def frame(number, *, groups=1, objects=2):
    """Keys and values that say which frame, cell and object they are of."""
    cell = torch.arange(6.0).reshape(2, 3)
    key = (100 * number + cell).expand(1, groups, 4, 2, 3) + 10 * torch.arange(groups)[:, None, None, None]
    value = (100 * number + cell).expand(1, objects, 5, 2, 3) + 10 * torch.arange(objects)[:, None, None, None]
    return key, value


def write(bank, number, *, keep=True, max_frames=None, policy="first_and_newest", **shape):
    return write_frame(bank, *frame(number, **shape), keep=keep, max_frames=max_frames, policy=policy)


def held(bank):
    """Numbers of the frames in the bank, from its keys; values must agree."""
    numbers = bank.key[0, 0, ::6, 0].div(100).int().tolist()
    assert bank.value[0, 0, ::6, 0, 0].div(100).int().tolist() == numbers
    return numbers


def test_layout():
    bank = write(empty_bank(*frame(1)), 1)
    assert bank.key.shape == (1, 1, 6, 4)
    assert bank.value.shape == (1, 1, 6, 2, 5)
    assert bank.key[0, 0, :, 0].tolist() == [100, 101, 102, 103, 104, 105]
    assert bank.value[0, 0, 4, 1].tolist() == [114] * 5


def test_layout_of_keys_per_object():
    bank = write(empty_bank(*frame(1, groups=2)), 1, groups=2)
    assert bank.key[0, :, 4, 0].tolist() == [104, 114]
    assert bank.value.shape == (1, 2, 6, 1, 5)
    assert bank.value[0, :, 4, 0, 0].tolist() == [104, 114]


def test_the_transient_frame_gives_way():
    bank = write(empty_bank(*frame(0)), 0)
    bank = write(bank, 1, keep=False)
    assert held(bank) == [0, 1]
    assert held(write(bank, 2, keep=False)) == [0, 2]
    assert held(write(bank, 2)) == [0, 2]
    assert held(write(write(bank, 2), 3, keep=False)) == [0, 2, 3]
    assert held(bank) == [0, 1]


@pytest.mark.parametrize(("policy", "wanted"), [("first_and_newest", [0, 8, 9, 10]), ("spread", [0, 8, 9, 10])])
def test_the_cap(policy, wanted):
    bank = empty_bank(*frame(0))
    for number in range(11):
        bank = write(bank, number, max_frames=4, policy=policy)
        assert len(held(bank)) == min(number + 1, 4)
        assert held(bank)[0] == 0
        assert held(bank)[-1] == number
    assert held(bank) == wanted
    assert held(write(bank, 11, keep=False, max_frames=4, policy=policy)) == [*wanted, 11]


def test_spread_covers_the_past():
    bank = empty_bank(*frame(0))
    for number in range(200):
        bank = write(bank, number, max_frames=16, policy="spread")
    gaps = bank.written.diff()
    assert gaps.max() <= 3 * 200 / 16


def test_without_a_cap():
    bank = empty_bank(*frame(0))
    for number in range(70):
        bank = write(bank, number)
    assert held(bank) == list(range(70))
    assert bank.written.tolist() == list(range(70))
