import pytest
import torch
from doubles import ClipDouble, KeyDouble, Memorized, PoolDouble
from modules import MemoryVideo

from vosfw.engine.engine import Engine
from vosfw.engine.interference.low_quality import LowQuality
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError


def seen_by(interference, video, **options):
    torch.manual_seed(0)
    model, engine = Memorized(), Engine(policy=IntervalPolicy(every=2), interference=interference, **options)
    with torch.no_grad():
        steps = list(engine.run(model, video, "cpu"))
    return model.seen[1:], steps


def test_memory_gets_what_the_other_network_predicts():
    torch.manual_seed(1)
    other = KeyDouble()
    other.default_engine = Engine(policy=IntervalPolicy(every=1))
    video = MemoryVideo(frames=6)
    seen, _ = seen_by(LowQuality(other), video)
    with torch.no_grad():
        alone = [step.masks.probs for step in other.default_engine.run(other, video, "cpu")]
    for t, masks in zip((2, 4), seen, strict=True):
        assert torch.equal(masks.probs, alone[t])


def test_own_options_and_other_sizes():
    other = PoolDouble()
    other.default_engine = Engine(policy=IntervalPolicy(every=3, recent=True), mask_size="original")
    video = MemoryVideo(frames=6, wanted=[t != 4 for t in range(6)])
    options = {"policy": IntervalPolicy(every=2, process_unwanted=True)}
    plain, small = (seen_by(LowQuality(other, {"short_side": side}), video, short_side=24)[0] for side in (None, 16))
    assert all(masks.probs.shape[-2:] == (24, 32) for masks in (*plain, *small))
    assert not torch.equal(plain[0].probs, small[0].probs)
    torch.manual_seed(0)
    model = Memorized()
    with torch.no_grad():
        list(Engine(interference=LowQuality(other), **options).run(model, video, "cpu"))
    assert len(model.seen) == 3, "frame 4 is not wanted, but remembered"


def test_objects_that_join_later():
    video = MemoryVideo(frames=8)
    video.__dict__["introduced"] = {3: 0, 6: 4}
    for introduce in ("when_given", "from_start"):
        other = ClipDouble()
        other.default_engine = Engine(introduce=introduce, policy=IntervalPolicy(every=1))
        seen, steps = seen_by(LowQuality(other), video)
        assert len(steps) == 8 and [m.probs.shape[1] for m in seen] == [2, 3, 3]


def test_what_is_missing_is_said():
    video = MemoryVideo(frames=4)
    with pytest.raises(ConfigError, match=r"no/such.ckpt.*vosfw.load"):
        seen_by(LowQuality("no/such.ckpt"), video)
    with pytest.raises(ConfigError, match="shoe_size"):
        seen_by(LowQuality(ClipDouble(), {"shoe_size": 43}), video)
    with pytest.raises(ConfigError, match="streaming"):
        Engine(interference=LowQuality(ClipDouble())).stream(ClipDouble(), (32, 40))
