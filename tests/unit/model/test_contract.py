"""What every network promises to the engine, tried on real networks and on three doubles of the other families."""

import copy
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from doubles import DOUBLES
from runs import SMALL_AOC, SMALL_AOC_RELEASED, SMALL_CFBI, SMALL_PCVOS, SMALL_RPCM, SMALL_STCN, SMALL_STM
from scenes import ToyVideo, make_clip
from torch.utils import _pytree as pytree

from vosfw.config import compose, instantiate_model
from vosfw.engine.augment import Augment
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError
from vosfw.model.layers.gct import GCT
from vosfw.predictor import Predictor
from vosfw.types import ObjectMasks

REAL = {
    "embedded": ["model=embedded", "model.encoder.options.channels=[8,16,16,32]", "model.encoder.width=16"],
    "demo": ["model=demo"],
    "stcn": ["model=stcn", *SMALL_STCN],
    "pcvos": SMALL_PCVOS,
    "stm": SMALL_STM,
    "kmn": [*SMALL_STM, "model/memory=kernelized"],
    "gcm": [*SMALL_STM, "model/memory=global_context"],
    "cfbi": SMALL_CFBI,
    "rpcm": SMALL_RPCM,
    "aoc": SMALL_AOC,
    # As released, the order of objects matters (test_released.py).
    "aoc_released": [*SMALL_AOC_RELEASED, "model.matcher.matchers.cluster.sticky_count=false"],
}
NAMES = [*DOUBLES, *REAL]
COMPILED = [name for name in NAMES if name != "aoc_released"]
"""As released, K-Means of a frame depends on which objects are there, one after the other: no single graph."""


@functools.cache
def built(name):
    torch.manual_seed(0)
    model = DOUBLES[name]() if name in DOUBLES else instantiate_model(compose(REAL[name]).model)
    for module in model.modules():
        if isinstance(module, GCT):
            # They start at 0, where no gradient reaches alpha; a trained network is elsewhere.
            torch.nn.init.normal_(module.gamma, std=0.5)
            torch.nn.init.normal_(module.beta, std=0.5)
    return model.eval()


def build(name):
    model = copy.deepcopy(built(name))
    torch.manual_seed(0)
    return model


def engine_for(model, **options):
    """The engine a network of this family is used with."""
    if model.grid.mode == "resize":
        family = {"merge": "overwrite", "mask_size": "original", "resize_of": "logits", "align_corners": True}
        return Engine(policy=options.pop("policy", IntervalPolicy(every=3, recent=True)), **family, **options)
    return Engine(policy=options.pop("policy", IntervalPolicy(every=3)), **options)


def run(model, video, **options):
    engine = engine_for(model, **options)
    geometry = engine.geometry(video.size, engine.augment(model).grid)
    with torch.no_grad():
        return {step.frame: engine.publish(step, geometry)[0] for step in engine.run(model, video, "cpu")}


@pytest.fixture(params=NAMES)
def model(request):
    return build(request.param)


def first(model, clip, slots=None):
    """Features of the clip, its first masks at the size the network works at, and the state after frame 0."""
    engine = engine_for(model)
    stream = engine.stream(model, tuple(clip.labels.shape[-2:]))
    frames = stream.place_frames(clip.frames.flatten(0, 1)).unflatten(0, clip.frames.shape[:2])
    masks = stream.place_given(clip.labels[:, 0], clip.given[:, 0])
    features = model.encode(frames)
    return features, masks, model.init_state(features.at(0), masks)


def test_shapes_for_every_clip_length(model):
    clip = make_clip(frames=model.clip_length + 1)
    with torch.no_grad():
        features, _, state = first(model, clip)
        for length in range(1, model.clip_length + 1):
            logits, _ = model.segment(features.span(1, 1 + length), state)
            assert logits.shape[:3] == (2, length, 3)
            assert logits.isfinite().all()


def test_clips_of_any_length_or_none(model):
    """Seen ahead or not; a network that goes on from frame to frame refuses them."""
    video, options = ToyVideo(frames=9, late={1: 4}), {"clip_length": model.clip_length + 2, "overlap": 1}
    if model.sequential:
        with pytest.raises(ConfigError, match="goes on from frame to frame"):
            run(model, video, **options)
    else:
        assert sorted(run(model, video, **options)) == list(range(9))


def test_gradient_reaches_every_parameter(model):
    model.train()
    clip = make_clip(frames=2 + 2 * model.clip_length)
    rollout = engine_for(model, policy=IntervalPolicy(every=1, recent=True)).rollout(model, clip)
    sum(step.logits.clamp(-50, 50).square().mean() for step in rollout.steps).backward()
    missing = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert missing == []


def test_mixed_precision_trains(model):
    model.train()
    clip = make_clip(frames=2 + 2 * model.clip_length)
    with torch.autocast("cpu", torch.bfloat16):
        rollout = engine_for(model, policy=IntervalPolicy(every=1, recent=True)).rollout(model, clip)
        loss = sum(step.logits.float().clamp(-50, 50).square().mean() for step in rollout.steps)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_a_video_leaves_nothing_in_the_module(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    buffers = [name for name, _ in model.named_buffers()]
    run(model, ToyVideo(late={1: 4}))
    assert [name for name, _ in model.named_buffers()] == buffers
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_calls_leave_the_state_untouched(model):
    clip = make_clip(frames=3)
    with torch.no_grad():
        features, masks, state = first(model, clip)
        saved = copy.deepcopy(pytree.tree_leaves(state))
        model.segment(features.at(1), state)
        model.memorize(features.at(1), masks, state, keep=True)
        model.memorize(features.at(1), masks, state, keep=False)
        for old, new in zip(saved, pytree.tree_leaves(state), strict=True):
            assert torch.equal(old, new) if isinstance(old, torch.Tensor) else old == new


def test_state_is_a_tree_of_tensors(model):
    with torch.no_grad():
        _, _, state = first(model, make_clip())
    assert all(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(state))


def probabilities(model, clip):
    with torch.no_grad():
        steps = list(engine_for(model).propagate(model, clip))
    return torch.stack([step.masks.probs for step in steps], 1)


def test_permuting_slots_permutes_the_output(model):
    clip = make_clip(frames=4, slots=3)
    order = torch.tensor([2, 0, 1])
    table = torch.zeros(256, dtype=torch.uint8)
    table[order + 1] = torch.arange(1, 4, dtype=torch.uint8)
    swapped = clip._replace(labels=table[clip.labels.long()])
    plain = probabilities(model, clip)
    channels = torch.cat([torch.zeros(1, dtype=torch.long), order + 1])
    torch.testing.assert_close(probabilities(model, swapped), plain[:, :, channels], atol=1e-4, rtol=1e-4)


def test_empty_slots_change_nothing(model):
    plain = probabilities(model, make_clip(frames=4))
    padded = probabilities(model, make_clip(frames=4, padding=2))
    assert padded[:, :, 3:].max() < 1e-6
    torch.testing.assert_close(padded[:, :, :3], plain, atol=1e-4, rtol=1e-4)


def test_a_batch_equals_its_videos_one_by_one(model):
    clip = make_clip(batch=2, frames=4)
    both = probabilities(model, clip)
    for i in range(2):
        alone = type(clip)(*(part[i : i + 1] for part in clip))
        torch.testing.assert_close(probabilities(model, alone), both[i : i + 1], atol=1e-4, rtol=1e-4)


def test_an_object_may_join_later(model):
    video = ToyVideo(frames=11, objects=3, late={1: 4, 2: 4})
    result = run(model, video)
    assert sorted(result) == list(range(11))
    assert result[3].shape[0] == 2
    assert result[5].shape[0] == 4
    joined = video.labels[4] >= 2
    assert (result[4].argmax(0)[joined] == video.labels[4][joined]).float().mean() > 0.95
    for probs in result.values():
        torch.testing.assert_close(probs.sum(0), torch.ones(video.size), atol=1e-3, rtol=0)


def test_slots_grow_between_calls(model):
    clip = make_clip(frames=2, slots=1)
    with torch.no_grad():
        features, masks, state = first(model, clip)
        wide = masks.grow(3)
        state = model.memorize(features.at(1), wide, state, keep=True)
        logits, _ = model.segment(features.at(1), state)
    assert logits.shape[2] == 4
    assert logits[:, :, 2:].max() <= -1e3


def test_a_removed_object_disappears(model):
    video = ToyVideo(frames=8, objects=2)
    engine = engine_for(model)
    stream = engine.stream(model, video.size)
    predictor = Predictor(model, device="cpu", engine=engine)
    predictor.add_object(video.labels[0].numpy())
    shown = {}
    for t in range(8):
        if t == 4:
            predictor.remove_object(2)
        for prediction in predictor.step(video.images[t].permute(1, 2, 0).numpy()):
            shown[prediction.index] = set(prediction.labels.reshape(-1).tolist())
    for prediction in predictor.flush():
        shown[prediction.index] = set(prediction.labels.reshape(-1).tolist())
    assert stream.clip_length == model.clip_length
    assert len(shown) == 8
    assert 2 in shown[0]
    assert all(2 not in shown[t] for t in range(4, 8))


def test_videos_do_not_leak_into_each_other(model):
    one, two = ToyVideo(seed=1), ToyVideo(seed=2)
    alone = run(model, two)
    run(model, one)
    after = run(model, two)
    for t, probs in alone.items():
        assert torch.equal(probs, after[t])


@pytest.mark.parametrize("augment", [Augment(flip=True), Augment(scales=(1.0, 1.5), flip=True)], ids=["flip", "scales"])
def test_versions_are_averaged(model, augment):
    video = ToyVideo(frames=5, late={1: 2})
    result = run(model, video, augment=augment)
    assert sorted(result) == list(range(5))
    for probs in result.values():
        assert probs.isfinite().all()
        torch.testing.assert_close(probs.sum(0), torch.ones(video.size), atol=1e-3, rtol=0)
    if augment.scales == (1.0,):
        mirrored = copy.deepcopy(video)
        mirrored.images, mirrored.labels = video.images.flip(-1), video.labels.flip(-1)
        for t, probs in run(model, mirrored, augment=augment).items():
            if model.mask_gradient:
                torch.testing.assert_close(probs.flip(-1), result[t], atol=2e-3, rtol=0)
            elif t < 2:
                # Norms over few cells make roundings grow, and one that tips a cell of a hardened mask is seen later.
                torch.testing.assert_close(probs.flip(-1), result[t], atol=2e-2, rtol=0)


def test_predictor_equals_engine(model):
    video = ToyVideo(frames=10, objects=3, late={2: 4})
    engine = engine_for(model)
    expected = {t: probs.argmax(0).to(torch.uint8) for t, probs in run(model, video).items()}
    predictor = Predictor(model, device="cpu", engine=engine)
    got = {}
    for t in range(10):
        if t in video.given:
            predictor.add_object(video.given_mask(t).numpy())
        for prediction in predictor.step(video.images[t].permute(1, 2, 0).numpy()):
            got[prediction.index] = torch.from_numpy(prediction.labels)
    for prediction in predictor.flush():
        got[prediction.index] = torch.from_numpy(prediction.labels)
    assert sorted(got) == list(range(10))
    for t, labels in expected.items():
        assert torch.equal(got[t], labels), t


def test_save_and_load(model, tmp_path):
    video = ToyVideo(frames=5)
    expected = run(model, video)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = copy.deepcopy(model)
    for parameter in other.parameters():
        torch.nn.init.constant_(parameter, 0.01)
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    for t, probs in run(other, video).items():
        assert torch.equal(probs, expected[t])


def test_two_training_steps_lower_the_loss(model):
    model.train()
    clip = make_clip(frames=1 + 2 * model.clip_length)
    engine = engine_for(model, policy=IntervalPolicy(every=1, recent=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3 if type(model) in DOUBLES.values() else 3e-4)
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        steps = engine.rollout(model, clip).steps
        loss = sum(torch.nn.functional.cross_entropy(s.logits, clip.labels[:, s.frame].long()) for s in steps)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_calls_compile_whole():
    """In a process of its own, since shape checks are no part of the product."""
    code = Path(__file__).with_name("compile_contract.py")
    path = os.pathsep.join(str(code.parents[i]) for i in (2, 3))
    environment = {**os.environ, "VOSFW_CHECK_SHAPES": "0", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, str(code), *COMPILED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == COMPILED


def test_masks_of_unused_slots_are_ignored(model):
    """Whatever stands in an unused slot's channel, nothing reads it."""
    clip = make_clip(frames=2, padding=1)
    with torch.no_grad():
        features, masks, _ = first(model, clip)
        dirty = masks.probs.clone()
        dirty[:, -1] = 0.7 * torch.rand_like(dirty[:, -1])
        clean, _ = model.segment(features.at(1), model.init_state(features.at(0), masks))
        same, _ = model.segment(features.at(1), model.init_state(features.at(0), ObjectMasks(dirty, *masks[1:])))
    torch.testing.assert_close(same, clean, atol=1e-4, rtol=1e-4)
