"""What slots recall and remember; the blocks are the plain ones of the paper."""

import pytest
import torch
from plain_matching import gated, plain_bottleneck, randomize

from vosfw.config import choices, compose, instantiate
from vosfw.errors import ConfigError
from vosfw.model.gate.instance import InstanceGate
from vosfw.model.modulator.block import ModulatorBlock
from vosfw.model.modulator.chain import ModulatorChain
from vosfw.model.modulator.none import NoModulator
from vosfw.model.modulator.parallel import ParallelModulator

C, D = 8, 6
VALID = torch.ones(2, 3, dtype=torch.bool)
HEAD = torch.randn(2, 3, D, generator=torch.Generator().manual_seed(9))
FRAMES = [torch.randn(2, 3, C, 4, 5, generator=torch.Generator().manual_seed(t)) for t in range(4)]


def make(kind=ModulatorChain, **options):
    return randomize(kind(C, D, InstanceGate, **options))


def close(got, wanted):
    torch.testing.assert_close(got, wanted, atol=1e-3, rtol=1e-3)


def plain(block, x, memory, head=HEAD):
    z = torch.cat([x, memory], 2).flatten(0, 1)
    for gate, layer in zip(block.gates, block.blocks, strict=True):
        z = plain_bottleneck(layer, gated(gate, z, head.flatten(0, 1)))
    return z.unflatten(0, x.shape[:2])


def play(modulator, frames, state=None):
    state = modulator.empty(frames[0]) if state is None else state
    results = []
    for x in frames:
        y, state = modulator(x, HEAD, VALID, state)
        results.append(y)
    return results, state


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def test_a_block_is_three_gated_bottlenecks():
    block = randomize(ModulatorBlock(C, D, InstanceGate))
    close(block(FRAMES[0], FRAMES[1], HEAD, VALID), plain(block, FRAMES[0], FRAMES[1]))


@pytest.mark.parametrize("slot", "SPC")
def test_what_one_slot_reads_over_three_frames(slot):
    modulator = make(slots=(slot,))
    read = {"S": [0, 1, 2], "P": [0, 0, 1], "C": [0, 0, 0]}[slot]
    results, _ = play(modulator, FRAMES[:3])
    for t, (y, r) in enumerate(zip(results, read, strict=True)):
        close(y, plain(modulator.blocks[0], FRAMES[t], FRAMES[r]))


def test_the_second_slot_remembers_its_own_input():
    """P, then C: the corrections of frame 2 refer to what P made of frame 0, which saw nothing but itself."""
    modulator = make()
    results, state = play(modulator, FRAMES[:3])
    first = [plain(modulator.blocks[0], FRAMES[t], FRAMES[max(t - 1, 0)]) for t in range(3)]
    for t in range(3):
        close(results[t], plain(modulator.blocks[1], first[t], first[0]))
    assert torch.equal(state.memories[0], FRAMES[2])
    close(state.memories[1], first[0])
    assert state.ready.all()


@pytest.mark.parametrize("kind", [ModulatorChain, ParallelModulator])
def test_reset_voids_the_memories_of_chosen_videos_alone(kind):
    modulator = make(kind)
    _, state = play(modulator, FRAMES[:2])
    void = modulator.reset(state, torch.tensor([True, False]))
    assert void.ready.tolist() == [[False, False], [True, True]]
    y, after = modulator(FRAMES[2], HEAD, VALID, void)
    fresh, carried = play(modulator, FRAMES[2:3])[0][0], modulator(FRAMES[2], HEAD, VALID, state)[0]
    assert not torch.equal(fresh, carried)
    assert torch.equal(y[0], fresh[0]) and torch.equal(y[1], carried[1])
    assert after.ready.all()


@pytest.mark.parametrize("kind", [ModulatorChain, ParallelModulator])
def test_a_primed_correction_refers_to_the_reference_and_propagation_does_not(kind):
    modulator = make(kind, slots=("C", "P"))
    state = modulator.prime(modulator.empty(FRAMES[0]), FRAMES[3])
    assert state.ready.tolist() == [[True, False]] * 2
    (y, _), after = play(modulator, FRAMES[:2], state)
    first = plain(modulator.blocks[0], FRAMES[0], FRAMES[3])
    if kind is ModulatorChain:
        close(y, plain(modulator.blocks[1], first, first))
    else:
        close(y, plain(modulator.fuse, first, plain(modulator.blocks[1], FRAMES[0], FRAMES[0])))
    assert torch.equal(after.memories[0], FRAMES[3])


def test_side_by_side_both_slots_read_the_same_map():
    modulator = make(ParallelModulator)
    results, state = play(modulator, FRAMES[:3])
    p, c = modulator.blocks
    close(results[2], plain(modulator.fuse, plain(p, FRAMES[2], FRAMES[1]), plain(c, FRAMES[2], FRAMES[0])))
    assert torch.equal(state.memories[0], FRAMES[2]) and torch.equal(state.memories[1], FRAMES[0])


@pytest.mark.parametrize("kind", [ModulatorChain, ParallelModulator])
def test_split_gates_read_their_half_of_the_descriptor(kind):
    """The references come first, the frame before last: C reads the first half, P the second, S all."""
    for slots, halves in ((("P", "C"), (1, 0)), (("S", "P"), (None, 1))):
        modulator = make(kind, slots=slots, split_gates=True)
        for block, half in zip(modulator.blocks, halves, strict=True):
            for changed in (0, 1):
                head = HEAD.clone()
                head[..., changed * D // 2 : (changed + 1) * D // 2] += 1
                same = torch.equal(*(block(FRAMES[0], FRAMES[1], h, VALID) for h in (HEAD, head)))
                assert same == (half is not None and half != changed)


@pytest.mark.parametrize("kind", [ModulatorChain, ParallelModulator])
@torch.enable_grad()
def test_no_gradient_enters_a_memory_and_every_parameter_gets_one(kind):
    modulator = make(kind)
    frames = [x.clone().requires_grad_() for x in FRAMES[:3]]
    results, state = play(modulator, frames)
    assert not any(memory.requires_grad for memory in state.memories)
    results[2].square().sum().backward()
    assert frames[0].grad is None and frames[1].grad is None and frames[2].grad.any()
    assert [name for name, p in modulator.named_parameters() if not p.grad.any()] == []


def test_none_hands_the_map_on():
    modulator = NoModulator(C, D, InstanceGate)
    results, state = play(modulator, FRAMES[:1])
    assert torch.equal(results[0], FRAMES[0]) and modulator.out_channels == C
    assert modulator.prime(modulator.reset(state, VALID[:, 0]), FRAMES[0]) == state == ()


@pytest.mark.parametrize("name", choices("model/modulator"))
def test_every_choice_builds_and_has_the_slots_of_its_name(name):
    config = compose(config_name=f"model/modulator/{name}").model.modulator
    modulator = instantiate(config)(channels=C, head_dim=D, gate=InstanceGate)
    wanted = () if name == "none" else tuple(letter for letter in name.upper() if letter in "SPC")
    wanted = ("P", "C") if name == "p_and_c" else wanted
    assert getattr(modulator, "slots", ()) == wanted
    results, _ = play(modulator, FRAMES[:2])
    assert results[1].shape == FRAMES[1].shape and modulator.out_channels == C


@pytest.mark.parametrize(
    ("kind", "slots"),
    [(ModulatorChain, s) for s in ([], ["X"], ["P", "c"], ["PC"], [""])]
    + [(ParallelModulator, s) for s in (["P"], ["P", "C", "S"], ["P", "X"])],
)
def test_unknown_slots(kind, slots):
    with pytest.raises(ConfigError, match=r"modulator\.slots"):
        make(kind, slots=slots)
