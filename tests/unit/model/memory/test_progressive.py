"""Progressive matching around every kind of memory, against the same done frame by frame."""

import pytest
import torch
from runs import SMALL_PCVOS, SMALL_STM
from scenes import ToyVideo

from vosfw.config import compose, instantiate_model
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError
from vosfw.model.memory.global_context import GlobalContextMemory
from vosfw.model.memory.kernelized import KernelizedMemory
from vosfw.model.memory.l2_topk import L2TopKMemory
from vosfw.model.memory.progressive import ProgressiveMemory
from vosfw.model.memory.space_time import SpaceTimeMemory

BASES = {
    "stcn": (L2TopKMemory, {"top_k": 7}, 1),
    "stcn_all": (L2TopKMemory, {"top_k": None}, 1),
    "stm": (SpaceTimeMemory, {}, 3),
    "stm_topk": (SpaceTimeMemory, {"top_k": 7}, 3),
    "kmn": (KernelizedMemory, {"sigma": 2.0}, 3),
    "gcm": (GlobalContextMemory, {}, 3),
}
"""Memory, options, and groups of keys: of the frame, or of each of three objects."""
LIMITED = [name for name in BASES if name != "gcm"]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def entries(groups, frames=3):
    return list(zip(random(frames, 2, groups, 8, 3, 4), random(frames, 2, 3, 5, 3, 4, seed=1), strict=True))


def bank_of(memory, frames, transient=None):
    bank = memory.empty(*frames[0])
    for key, value in frames:
        bank = memory.write(bank, key, value, keep=True)
    return bank if transient is None else memory.write(bank, *transient, keep=False)


def plain(make, frames, query, segment):
    """Frame by frame, as the release does it: each memory built anew from all that is in it."""
    frames, reads, groups = list(frames), [], frames[0][0].shape[1]
    for t in range(query.shape[2]):
        base = make()
        read = base.read(bank_of(base, frames), query[:, :, t : t + 1])
        reads.append(read)
        if (t + 1) % segment == 0:
            frames.append((query[:, None, :, t].expand(-1, groups, -1, -1, -1), read[:, :, :, 0]))
    return torch.cat(reads, 3)


def maker(name, **options):
    kind, own, groups = BASES[name]
    return lambda **more: kind(**(own | options | more)).eval(), groups


@pytest.mark.parametrize("transient", [False, True])
@pytest.mark.parametrize(("length", "segment"), [(7, 3), (6, 3), (5, 1), (11, 5)])
@pytest.mark.parametrize("name", BASES)
def test_a_clip_is_read_segment_by_segment(name, length, segment, transient):
    make, groups = maker(name)
    frames, query = entries(groups, 4), random(2, 8, length, 3, 4, seed=2)
    memory = ProgressiveMemory(make(), segment).eval()
    # The transient entry takes part like any other.
    bank = bank_of(memory, frames[:3], frames[3] if transient else None)
    wanted = plain(make, frames if transient else frames[:3], query, segment)
    torch.testing.assert_close(memory.read(bank, query), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", BASES)
def test_progression_is_seen_from_the_second_segment_on(name):
    make, groups = maker(name)
    memory, query = ProgressiveMemory(make(), 3).eval(), random(2, 8, 6, 3, 4, seed=2)
    bank = bank_of(memory, entries(groups))
    read, at_once = memory.read(bank, query), memory.base.read(bank, query)
    assert torch.equal(read[:, :, :, :3], memory.base.read(bank, query[:, :, :3]))
    torch.testing.assert_close(read[:, :, :, :3], at_once[:, :, :, :3])
    assert (read - at_once)[:, :, :, 3:].abs().max() > 1e-2


@pytest.mark.parametrize("length", [1, 4, 5])
@pytest.mark.parametrize("name", BASES)
def test_a_clip_of_one_segment_is_read_as_ever(name, length):
    make, groups = maker(name)
    memory, query = ProgressiveMemory(make(), 5).eval(), random(2, 8, length, 3, 4, seed=2)
    bank = bank_of(memory, entries(groups))
    assert torch.equal(memory.read(bank, query), memory.base.read(bank, query))
    memory = ProgressiveMemory(make(), None).eval()
    longer = random(2, 8, 6 + length, 3, 4, seed=2)
    assert torch.equal(memory.read(bank, longer), memory.base.read(bank, longer))


@pytest.mark.parametrize("name", BASES)
def test_what_a_clip_remembers_goes_with_it(name):
    make, groups = maker(name)
    frames, memory = entries(groups, 4), ProgressiveMemory(make(), 2).eval()
    bank = bank_of(memory, frames[:3], frames[3])
    before = [part.clone() for part in bank]
    query = random(2, 8, 7, 3, 4, seed=2)
    first = memory.read(bank, query)
    assert all(torch.equal(old, new) for old, new in zip(before, bank, strict=True))
    assert torch.equal(memory.read(bank, query), first)
    # The next frame that is remembered takes the transient entry's place, as ever.
    for keep in (False, True):
        after, alone = (each.write(bank, *frames[0], keep=keep) for each in (memory, memory.base))
        assert all(torch.equal(one, other) for one, other in zip(after, alone, strict=True))


@pytest.mark.parametrize("policy", ["first_and_newest", "spread"])
@pytest.mark.parametrize("name", LIMITED)
def test_no_limit_counts_what_is_remembered_for_a_clip(name, policy):
    """Three frames are all there may be, and four more come for a while."""
    make, groups = maker(name)
    frames, query = entries(groups, 3), random(2, 8, 9, 3, 4, seed=2)
    memory = ProgressiveMemory(make(max_frames=3, policy=policy), 2).eval()
    got = memory.read(bank_of(memory, frames), query)
    torch.testing.assert_close(got, plain(make, frames, query, 2), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", BASES)
def test_training_reads_at_once(name):
    make, groups = maker(name)
    frames, query = entries(groups), random(2, 8, 6, 3, 4, seed=2)
    memory = ProgressiveMemory(make(), 2).train()
    bank = bank_of(memory, frames)
    assert torch.equal(memory.read(bank, query), memory.base.read(bank, query))
    also = ProgressiveMemory(make(), 2, in_training=True).train()
    wanted = plain(lambda: make().train(), frames, query, 2)
    torch.testing.assert_close(also.read(bank, query), wanted, atol=1e-5, rtol=1e-4)


def test_gradients_go_through_what_was_read_before():
    memory = ProgressiveMemory(L2TopKMemory(top_k=None), 2, in_training=True).train()
    query = random(2, 8, 5, 3, 4, seed=2).requires_grad_()
    memory.read(bank_of(memory, entries(1)), query)[:, :, :, 4].sum().backward()
    assert query.grad[:, :, [1, 3, 4]].abs().amax((0, 1, 3, 4)).min() > 0
    assert not query.grad[:, :, [0, 2]].any()


def test_segments_have_frames():
    with pytest.raises(ConfigError, match=r"memory\.segment is 0"):
        ProgressiveMemory(L2TopKMemory(), 0)


@pytest.mark.parametrize("base", ["space_time", "kernelized", "global_context"])
def test_any_network_takes_it(base):
    """By configuration, with the base's own options."""
    swapped = ["model/memory=progressive", f"model/memory@model.memory.base={base}", "model.memory.segment=3"]
    for small in (SMALL_STM, SMALL_PCVOS):
        torch.manual_seed(0)
        model = instantiate_model(compose([*small, *swapped]).model)
        assert isinstance(model.memory, ProgressiveMemory)
        assert type(model.memory.base).__module__.endswith(base)
        assert model.memory.segment == 3
        whole = masks(model.eval())
        model.memory = model.memory.base
        changed = [float((one - two).abs().max()) for one, two in zip(whole, masks(model), strict=True)]
        # Frame 0 is given; a refiner sees all frames of a clip at once.
        if small is SMALL_STM:
            assert max(changed[:4]) < 1e-5
        assert max(changed[4:]) > 1e-5


def masks(model):
    engine = Engine(IntervalPolicy("clip"), clip_length=8)
    with torch.no_grad():
        return [step.masks.probs for step in engine.run(model, ToyVideo(frames=9, size=(64, 80)), "cpu")]
