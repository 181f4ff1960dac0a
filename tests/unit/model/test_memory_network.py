import pytest
import torch
from plain_stcn import PlainSTCN
from torch.utils.flop_counter import FlopCounterMode

from vosfw.config import compose, instantiate_model
from vosfw.errors import ConfigError
from vosfw.model.memory_network import MemoryNetwork
from vosfw.model.refiner.none import NoRefiner
from vosfw.types import ObjectMasks

SIZE = (64, 80)
SMALL = [
    "model.encoder.name=resnet18",
    "model.value_dim=32",
    "model.key_dim=16",
    "model.decoder.widths=[32,16,16]",
    "model.memory.top_k=7",
]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return instantiate_model(compose(["model=stcn", *SMALL]).model).eval()


@pytest.fixture
def frames():
    return torch.rand(4, 1, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def masks_of(slots, seed, valid=None):
    """Soft masks of one video."""
    logits = 3 * torch.randn(1, slots + 1, *SIZE, generator=torch.Generator().manual_seed(seed))
    valid = torch.ones(1, slots, dtype=torch.bool) if valid is None else valid
    return ObjectMasks(logits.softmax(1), valid, torch.ones(1, 1, *SIZE))


def run(network, frames, masks):
    """Probabilities of the last frame after remembering the others."""
    features = network.encode(frames[:, 0][None])
    state = network.init_state(features.at(0), masks[0])
    for t, later in enumerate(masks[1:], start=1):
        state = network.memorize(features.at(t), later, state, keep=True)
    return network.segment(features.at(len(masks)), state)[0][0, 0].softmax(0)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("chunk", [None, 1, 2])
@torch.no_grad()
def test_sharing_changes_nothing(network, frames, slots, chunk):
    network.decoder.object_chunk = network.value_encoder.object_chunk = chunk
    masks = [masks_of(slots, seed) for seed in range(2)]
    plain = PlainSTCN(network, top_k=network.memory.top_k)
    for frame, mask in zip(frames, masks, strict=False):
        plain.memorize(plain.encode(frame), mask.probs[0, 1:])
    wanted = plain.segment(plain.encode(frames[2]))
    assert (wanted.amax((1, 2)) > 1e-3).all()
    torch.testing.assert_close(run(network, frames, masks), wanted, atol=1e-5, rtol=0)


@torch.no_grad()
def test_objects_that_join_get_a_bucket_of_their_own(network, frames):
    features = network.encode(frames[:, 0][None])
    state = network.init_state(features.at(0), masks_of(2, 0))
    state = network.memorize(features.at(1), masks_of(3, 1), state, keep=True)
    assert [bucket.slots.tolist() for bucket in state.buckets] == [[0, 1], [2]]
    logits, _ = network.segment(features.at(2), state)
    plain = PlainSTCN(network, top_k=network.memory.top_k)
    plain.memorize(plain.encode(frames[0]), masks_of(2, 0).probs[0, 1:])
    plain.memorize(plain.encode(frames[1]), masks_of(3, 1).probs[0, 1:])
    wanted = plain.segment(plain.encode(frames[2]))
    torch.testing.assert_close(logits[0, 0].softmax(0), wanted, atol=1e-5, rtol=0)


@torch.no_grad()
def test_work_per_object(network, frames):
    """An object more costs its own share alone: nothing of the frame is computed again."""

    def count(slots, call):
        features = network.encode(frames[:1])
        masks = masks_of(slots, 0)
        state = network.init_state(features, masks)
        with FlopCounterMode(display=False) as counter:
            network.segment(features, state) if call == "segment" else network.memorize(
                features, masks, state, keep=True
            )
        return counter.get_total_flops() // 2

    cells, taps = SIZE[0] * SIZE[1] // 256, 9
    value, (w16, w8, w4) = network.value_encoder.out_channels, (32, 16, 16)
    decoder = taps * cells * (2 * value * w16 + w16 * w16)
    decoder += 4 * taps * cells * (2 * w16 * w8 + w8 * w8)
    decoder += 16 * taps * cells * (w8 * w4 + w4 * w4 + w4)
    assert count(2, "segment") - count(1, "segment") == decoder
    assert count(5, "segment") - count(2, "segment") == 3 * decoder
    trunk = network.value_encoder.trunk.out_channels
    trunk_macs = SIZE[0] // 2 * SIZE[1] // 2 * 2 * 49 * 64
    trunk_macs += taps * cells * 16 * 4 * 64 * 64
    trunk_macs += cells * 4 * (taps * (64 * 128 + 3 * 128 * 128) + 64 * 128)
    trunk_macs += cells * (taps * (128 * 256 + 3 * 256 * 256) + 128 * 256)
    fuser = taps * cells * (2 * trunk * value + 3 * value * value) + cells * 49 * 2 + 2 * 2 * value * (value // 16)
    assert count(2, "memorize") - count(1, "memorize") == trunk_macs + fuser


@torch.no_grad()
def test_a_removed_object_is_no_longer_an_other(network, frames):
    features = network.encode(frames[:, 0][None])
    state = network.init_state(features.at(0), masks_of(2, 0))
    state = network.remove(state, torch.tensor([True, False]))
    gone = masks_of(2, 1, valid=torch.tensor([[True, False]]))
    bank = network.memorize(features.at(1), gone, state, keep=True).buckets[0].bank
    dark = gone._replace(probs=gone.probs * torch.tensor([1, 1, 0])[:, None, None])
    same = network.memorize(features.at(1), dark, state, keep=True).buckets[0].bank
    assert torch.equal(bank.value[..., 0, :], same.value[..., 0, :])
    assert (network.segment(features.at(2), state)[0][:, :, 2] == -1e4).all()


@torch.no_grad()
def test_masks_of_another_size_are_resized(network, frames):
    features = network.encode(frames[:1])
    masks = masks_of(2, 0)
    half = masks._replace(probs=torch.nn.functional.avg_pool2d(masks.probs, 2))
    assert network.init_state(features, half).buckets[0].bank.value.isfinite().all()


@torch.no_grad()
def test_cells_most_of_which_is_not_trusted_are_not_read(network, frames):
    features = network.encode(frames[:1])
    masks, cell = masks_of(2, 0), SIZE[0] // features.levels[0].shape[-2]
    weight = torch.ones_like(masks.weight)
    weight[:, :, :cell, : cell // 2 - 1] = 0  # less than half of the first cell
    weight[:, :, :cell, cell : 2 * cell - 1] = 0  # more than half of the second
    bias = network.init_state(features, masks._replace(weight=weight)).buckets[0].bank.bias
    assert (bias < 0).nonzero().tolist() == [[0, 1]]


@torch.no_grad()
def test_no_objects_at_all(network, frames):
    features = network.encode(frames[:1])
    state = network.init_state(features, masks_of(0, 0))
    logits, _ = network.segment(features, state)
    assert logits.shape == (1, 1, 1, *SIZE)
    assert state.buckets == ()


@torch.no_grad()
def test_a_transient_first_frame(network, frames):
    """The reference set ``prev``: frame 0 gives way to the next frame."""
    features = network.encode(frames[:, 0][None])
    state = network.init_state(features.at(0), masks_of(1, 0), keep=False)
    state = network.memorize(features.at(1), masks_of(1, 1), state, keep=False)
    fresh = network.init_state(features.at(1), masks_of(1, 1), keep=False)
    torch.testing.assert_close(network.segment(features.at(2), state)[0], network.segment(features.at(2), fresh)[0])


def test_scores_stay_in_single_precision(network, frames):
    with torch.autocast("cpu", torch.bfloat16):
        features = network.encode(frames[:1])
        state = network.init_state(features, masks_of(2, 0))
        logits, _ = network.segment(features, state)
        assert logits.dtype == torch.float32
        logits.mean().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
    network.zero_grad()


@pytest.mark.parametrize("option", ["key_dim", "value_dim", "clip_length", "grid_multiple"])
def test_widths_are_checked(option):
    with pytest.raises(ConfigError, match=option):
        instantiate_model(compose(["model=demo", f"model.{option}=0"]).model)


class Volume(NoRefiner):
    def __init__(self, frame_channels, value_channels):
        super().__init__()
        self.conv = torch.nn.Conv3d(value_channels, 2, 3)


def test_parts_may_have_weights_of_any_rank(network):
    parts = network.encoder, lambda **_: network.value_encoder, network.memory, Volume, lambda **_: network.decoder
    built = MemoryNetwork(*parts, key_dim=16, value_dim=32)
    assert built.refiner.conv.weight.is_contiguous()
    assert built.value_proj.weight.is_contiguous(memory_format=torch.channels_last)
