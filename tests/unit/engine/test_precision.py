"""engine.precision: the network in bfloat16, masks in float32."""

import pytest
import torch
from doubles import ClipDouble
from scenes import ToyVideo, make_clip

import vosfw
from vosfw.engine.corrector import GradientCorrector
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError


def labels_of(model, video, **options):
    engine = Engine(IntervalPolicy(2), **options)
    geometry = engine.geometry(video.size, model.grid)
    with torch.no_grad():
        steps = list(engine.run(model, video, "cpu"))
    return torch.cat([engine.labels(step, geometry) for step in steps]), steps


def test_labels_stay():
    """A trained network: masks of random weights hang on rounding."""
    model, video = vosfw.load(), ToyVideo(frames=6, objects=2, size=(64, 96), late={1: 2})
    plain, before = labels_of(model, video)
    fast, after = labels_of(model, video, precision="bfloat16")
    assert plain.unique().numel() == 3
    assert not torch.equal(before[-1].masks.probs, after[-1].masks.probs)
    assert (plain == fast).float().mean() >= 0.995
    assert after[-1].masks.probs.dtype == torch.float32
    assert after[-1].state.buckets[0].bank.key.dtype == torch.bfloat16


def test_masks_are_corrected_in_it():
    video = ToyVideo(frames=6, objects=1, size=(64, 96))
    corrector = GradientCorrector(steps=2, every=2)
    labels, steps = labels_of(vosfw.load(), video, precision="bfloat16", corrector=corrector)
    assert len(labels) == 6
    assert all(torch.isfinite(step.masks.probs).all() for step in steps)


def test_a_cycle_is_closed_in_it():
    """Features of a training clip are in bfloat16, and so is what leads from them back to the first frame."""
    torch.manual_seed(0)
    model, clip = ClipDouble(), make_clip(frames=4)
    losses = {}
    for precision in ("float32", "bfloat16"):
        rollout = Engine(IntervalPolicy("clip"), precision=precision).rollout(model, clip)
        losses[precision] = torch.stack([logits.softmax(1)[:, 1] for logits in rollout.reconstruct(rollout.steps)])
    torch.testing.assert_close(losses["bfloat16"], losses["float32"], atol=0.05, rtol=0)
    assert not torch.equal(losses["bfloat16"], losses["float32"])
    losses["bfloat16"].mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match=r"engine\.precision is 'int8'; wanted float32 or bfloat16"):
        Engine(precision="int8")
