"""What always holds of gradient correction, for every network whose masks have a gradient."""

import pytest
import torch
from scenes import make_clip
from unit.model.test_contract import NAMES, REAL, build, engine_for, first

from vosfw.config import compose, instantiate_model
from vosfw.engine.corrector import GradientCorrector
from vosfw.engine.cycle import KnownFrame
from vosfw.errors import ConfigError
from vosfw.types import ObjectMasks

SOFT = ["cfbi", "rpcm", "aoc"]
"""Networks whose masks are soft on demand."""


def built(name):
    if not name.startswith("soft_"):
        return build(name)
    torch.manual_seed(0)
    options = [*REAL[name.removeprefix("soft_")], "model.soft_masks=true"]
    return instantiate_model(compose(options).model).eval()


def small(name):
    """Untrained matching networks, with norms over a few cells, are a thousand times as steep as the others."""
    return 2e-5 if name.startswith("soft_") else 0.2


ALL = [*NAMES, *(f"soft_{name}" for name in SOFT)]


def correction(model, clip, **options):
    engine = engine_for(model)
    with torch.no_grad():
        features, given, state = first(model, clip)
        size = given.probs.shape[-2:]
        probs = engine.resize(model.segment(features.at(1), state)[0][:, 0], (size[0], size[1])).softmax(1)
        if engine.mask_size == "original":
            # Rows of matching are hard: small steps are small only where no pixel changes its most likely class.
            probs = 0.8 * given.probs + 0.2 / probs.shape[1]
    masks = ObjectMasks(probs, given.valid, torch.ones_like(probs[:, :1]))
    known = KnownFrame(features.at(0), given)
    return masks, GradientCorrector(**options).correct(model, features.at(1), masks, known, engine.resize)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("smooth", [0.0, 0.75])
def test_small_steps_lower_the_loss_every_time(name, smooth):
    """With a smooth term it is not the reconstruction alone that goes down, but their sum."""
    model = built(name)
    clip = make_clip(frames=2, size=(32, 48), seed=3)
    if not model.mask_gradient:
        with pytest.raises(ConfigError, match=type(model).__name__):
            correction(model, clip)
        return
    flags = [p.requires_grad for p in model.parameters()]
    masks, got = correction(model, clip, rate=small(name), steps=6, smooth=smooth)
    assert got.losses.shape == (6, 2) and (got.losses.diff(dim=0) < 0).all()
    assert not torch.equal(got.masks.probs, masks.probs)
    assert all(p.grad is None for p in model.parameters())
    assert [p.requires_grad for p in model.parameters()] == flags


@pytest.mark.parametrize("name", ALL)
def test_a_batch_and_its_samples_and_the_order_of_objects(name):
    model = built(name)
    if not model.mask_gradient:
        pytest.skip("masks are hardened")
    clip, options = make_clip(frames=2, slots=3, size=(32, 48)), {"rate": 5 * small(name), "steps": 3}
    atol = 1e-5 if name.startswith("soft_") else 1e-4
    _, both = correction(model, clip, **options)
    for i in range(2):
        _, alone = correction(model, type(clip)(*(part[i : i + 1] for part in clip)), **options)
        torch.testing.assert_close(alone.masks.probs, both.masks.probs[i : i + 1], atol=atol, rtol=0)
    table = torch.tensor([0, 3, 1, 2], dtype=torch.uint8)
    _, moved = correction(model, clip._replace(labels=table[clip.labels.long()]), **options)
    torch.testing.assert_close(moved.masks.probs[:, table.long()], both.masks.probs, atol=atol, rtol=0)
