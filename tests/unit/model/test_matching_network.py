"""The matching networks' own rules; what every network promises is in test_contract.py."""

import pytest
import torch
from runs import SMALL_AOC, SMALL_AOC_RELEASED, SMALL_CFBI, SMALL_RPCM
from scenes import ToyVideo

from vosfw.config import compose, instantiate_engine, instantiate_model
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError
from vosfw.model.matching_network import one_hot_cells
from vosfw.types import VOID, ObjectMasks

SIZE, CELLS = (33, 49), (9, 13)
FAMILY = {"cfbi": SMALL_CFBI, "rpcm": SMALL_RPCM, "aoc": SMALL_AOC, "aoc_released": SMALL_AOC_RELEASED}


def make(*options, small=SMALL_RPCM):
    torch.manual_seed(0)
    return instantiate_model(compose([*small, *options]).model).eval()


@pytest.fixture(scope="module")
def network():
    return make()


@pytest.fixture(scope="module")
def features(network):
    with torch.no_grad():
        return network.encode(torch.rand(2, 4, 3, *SIZE, generator=torch.Generator().manual_seed(1)))


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def labels_of(slots, seed=0, batch=2):
    """Blocks of 8 x 7 pixels."""
    coarse = torch.randint(0, slots + 1, (batch, 5, 7), generator=torch.Generator().manual_seed(seed))
    return coarse.repeat_interleave(8, 1).repeat_interleave(7, 2)[:, : SIZE[0]].to(torch.uint8)


def masks_of(slots, seed=0, valid=None):
    given = torch.ones(2, slots, dtype=torch.bool) if valid is None else torch.tensor(valid)
    return ObjectMasks.from_labels(labels_of(slots, seed), given)


@pytest.mark.parametrize("name", FAMILY)
def test_with_its_own_engine_no_video_leaks_into_the_next(name):
    network, engine = make(small=FAMILY[name]), instantiate_engine(compose([f"model={name}"]).engine)
    one, two = ToyVideo(seed=1, frames=8, late={1: 6}), ToyVideo(seed=2, frames=8, late={1: 3})
    before = {key: value.clone() for key, value in network.state_dict().items()}

    def run(video):
        return [step.logits for step in engine.run(network, video, "cpu")]

    alone = run(two)
    run(one)
    for wanted, got in zip(alone, run(two), strict=True):
        assert torch.equal(got, wanted)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_new_object_voids_the_modulators_memories(network, features):
    state = network.init_state(features.at(0), masks_of(1))
    assert not state.modulator.ready.any()
    _, state = network.segment(features.at(1), state)
    state = network.memorize(features.at(1), masks_of(1, 1), state, keep=False)
    assert state.modulator.ready.all()
    state = network.memorize(features.at(1), masks_of(2, 1), state, keep=True)
    assert not state.modulator.ready.any()
    assert all(memory.shape == (2, 3, 32, 5, 7) for memory in state.modulator.memories)
    assert len(state.references.given) == 2 and not state.references.predicted
    assert network.segment(features.at(2), state)[1].modulator.ready.all()


def test_an_object_that_joins_one_video_of_a_batch_voids_that_videos_memories(network, features):
    state = network.init_state(features.at(0), masks_of(2, valid=[[True, False], [True, False]]))
    _, state = network.segment(features.at(1), state)
    joins = masks_of(2, 1, valid=[[True, False], [True, True]])
    assert network.memorize(features.at(1), joins, state, keep=True).modulator.ready.tolist() == [
        [True] * 2,
        [False] * 2,
    ]


def test_predicted_frames_join_the_pool_and_the_frame_before_does_not(network, features):
    state = network.init_state(features.at(0), masks_of(2))
    later = network.memorize(features.at(1), masks_of(2, 1), state, keep=False)
    assert later.references == state.references
    assert torch.equal(later.previous.embedding, features.levels[0][:, 1])
    kept = network.memorize(features.at(1), masks_of(2, 1), later, keep=True)
    assert (len(kept.references.given), len(kept.references.predicted)) == (1, 1)


def test_a_removed_object_keeps_the_memories_and_has_no_say(network, features):
    state = network.init_state(features.at(0), masks_of(2))
    _, state = network.segment(features.at(1), state)
    keep = torch.tensor([True, False])
    state = network.remove(state, keep)
    masks = masks_of(2, 1)._replace(valid=state.valid)
    after = network.memorize(features.at(1), masks, state, keep=False)
    assert after.modulator.ready.all()
    assert not after.previous.masks[:, 2].any()
    logits, _ = network.segment(features.at(2), after)
    assert (logits[:, :, 2] == -1e4).all() and (logits[:, :, :2] > -1e3).all()
    # Its cells in the references, its memories and its mask play no part for the others.
    thin = ObjectMasks.from_labels(torch.where(labels_of(2) == 2, VOID, labels_of(2)), masks_of(2).valid)
    other = network.init_state(features.at(0), thin)
    same = after._replace(references=other.references)
    torch.testing.assert_close(network.segment(features.at(2), same)[0][:, :, :2], logits[:, :, :2])


@pytest.mark.parametrize("name", FAMILY)
def test_slots_that_are_not_in_use_change_nothing(name):
    """Whatever their channel holds, given or predicted."""
    network, found = make(small=FAMILY[name]), []
    features = network.encode(torch.rand(2, 3, 3, *SIZE, generator=torch.Generator().manual_seed(1)))
    for extra in (0, 2):
        states = []
        for t, seed in ((0, 0), (1, 1)):
            masks = masks_of(2, seed).grow(2 + extra)
            masks = masks._replace(probs=masks.probs.index_fill(1, torch.arange(3, 3 + extra), 0.9))
            if states:
                states.append(network.memorize(features.at(t), masks, states[-1], keep=True))
            else:
                states.append(network.init_state(features.at(t), masks))
                states[-1] = network.segment(features.at(1), states[-1])[1]
        found.append(network.segment(features.at(2), states[-1])[0])
    assert (found[1][:, :, 3:] == -1e4).all()
    torch.testing.assert_close(found[1][:, :, :3], found[0], atol=1e-3, rtol=1e-3)


def test_the_reference_primes_correction_slots(features):
    primed = make("model.correction=reference")
    masks = masks_of(1)
    state = primed.init_state(features.at(0), masks)
    assert state.modulator.ready.tolist() == [[False, True]] * 2
    void = state._replace(modulator=primed.modulator.empty(state.modulator.memories[0]))
    wanted = primed._ensemble(features.at(0), void)[0]
    assert torch.equal(state.modulator.memories[1], wanted)
    _, state = primed.segment(features.at(1), state)
    assert torch.equal(state.modulator.memories[1], wanted)
    state = primed.memorize(features.at(1), masks_of(2, 1), state, keep=True)
    assert state.modulator.ready.tolist() == [[False, True]] * 2
    assert torch.equal(state.modulator.memories[1], primed._ensemble(features.at(1), state)[0])


def test_void_pixels_leave_the_reference_but_not_the_surroundings(network, features):
    plain = masks_of(1)
    labels = labels_of(1)
    labels[:, :8, :14] = VOID
    masks = ObjectMasks.from_labels(labels, plain.valid)
    cells = one_hot_cells(masks, CELLS)
    corner = torch.nn.functional.interpolate(masks.weight, CELLS) < 0.5
    assert 0 < corner.sum() < corner.numel()
    state = network.init_state(features.at(0), masks)
    sums, embedding = state.references.given[0].sums, features.levels[0][:, 0]
    torch.testing.assert_close(sums.area[:, 0], (cells[:, :1] * ~corner).sum((1, 2, 3)))
    torch.testing.assert_close(sums.area[:, 1], cells[:, 1].sum((1, 2)))
    torch.testing.assert_close(sums.total, embedding.sum((2, 3)))
    assert (sums.cells == CELLS[0] * CELLS[1]).all()
    # Of the frame before they are background, as the released code has it.
    assert (state.previous.masks[:, :1][corner] == 1).all()
    torch.testing.assert_close(state.references.given[0].reliability, masks.weight.mean((1, 2, 3)))


def test_masks_are_hardened_at_the_nearest_pixel():
    probs = torch.tensor([[0.4, 0.35, 0.25], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]]).T.view(1, 3, 1, 4)
    weight = torch.ones(1, 1, 1, 4)
    for valid, wanted in (([True, True], [0, 2, 1, 2]), ([True, False], [0, 1, 1, 0])):
        masks = ObjectMasks(probs, torch.tensor([valid]), weight)
        cells = one_hot_cells(masks, (1, 4))
        assert cells.sum(1).eq(1).all() and cells[0, :, 0].argmax(0).tolist() == wanted
        assert one_hot_cells(masks, (1, 2))[0, :, 0].argmax(0).tolist() == wanted[::2]


def test_no_gradient_leaves_a_frame_through_masks_or_memories(network):
    frames = torch.rand(2, 3, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.enable_grad():
        features = network.encode(frames)
        state = network.init_state(features.at(0), masks_of(1))
        logits, state = network.segment(features.at(1), state)
        assert not any(memory.requires_grad for memory in state.modulator.memories)
        soft = ObjectMasks(
            torch.nn.functional.interpolate(logits[:, 0], SIZE).softmax(1), masks_of(1).valid, torch.ones(2, 1, *SIZE)
        )
        assert not network.memorize(features.at(1), soft, state, keep=True).previous.masks.requires_grad


@pytest.mark.parametrize("where", ["input", "original"])
def test_masks_may_live_at_either_size(network, where):
    video = ToyVideo(frames=3, size=(30, 44))
    engine = Engine(merge="overwrite", align_corners=True, policy=IntervalPolicy(recent=True), mask_size=where)
    size = SIZE if where == "input" else video.size
    assert all(step.logits.shape[-2:] == size for step in engine.run(network, video, "cpu"))


@pytest.mark.parametrize("encoder", ["small", "resnet18", "pyramid"])
def test_other_encoders_are_refused(encoder):
    with pytest.raises(ConfigError, match="wanted two of the same stride"):
        instantiate_model(compose(["model=rpcm", f"model/encoder={encoder}"]).model)


@pytest.mark.parametrize(
    ("option", "match"), [("model.embedding_dim=0", "embedding_dim is 0"), ("model.correction=first", "correction is")]
)
def test_bad_options(option, match):
    with pytest.raises(ConfigError, match=match):
        make(option)
