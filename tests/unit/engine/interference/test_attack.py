import gc

import pytest
import torch
from doubles import ClipDouble, KeyDouble, PoolDouble
from modules import MemoryVideo
from small_matching import small_matching

from vosfw.engine.engine import Engine
from vosfw.engine.interference import NoInterference, Scene
from vosfw.engine.interference.attack import GradientAttack, video_loss
from vosfw.engine.interference.noise import Noise
from vosfw.engine.interference.tape import Tape
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError, DatasetError, UnsupportedError

EPS = 20 / 255
POLICY = IntervalPolicy(every=2, recent=True)


def network(kind, seed=0, gain=4.0):
    """A network whose predictions depend on memory enough to be attacked."""
    torch.manual_seed(seed)
    model = kind().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(gain if parameter.ndim > 1 else 1.0)
    return model


def late_video(frames=8):
    video = MemoryVideo(frames=frames)
    video.__dict__["introduced"] = {3: 0, 6: 3}
    return video


def total(engine, model, video):
    """Loss of the whole video, as the attack has it."""
    tape = Tape(engine, engine.augment(model), engine.geometry(video.size, model.grid), NoInterference())
    with torch.no_grad():
        losses = [video_loss(tape, video, step) for step in engine.run(model, video, "cpu")]
    return sum(float(loss) for loss in losses if loss is not None)


class Fixed(NoInterference):
    """Adds given noise, with the whole graph."""

    def __init__(self, noise=None):
        self.noise = noise or {}
        self.clean, self.changes = {}, {}

    def __call__(self, t, masks):
        self.noise.setdefault(t, torch.zeros_like(masks.probs, requires_grad=True))
        self.clean[t] = masks.probs.detach()
        noisy = (masks.probs + self.noise[t]).clamp(0, 1)
        self.changes[t] = (noisy - masks.probs).detach()
        return masks._replace(probs=noisy)


def found_by(attack, engine, model, video):
    """What an attack adds."""
    with torch.no_grad():
        return attack.start(Scene(engine.replace(interference=attack), model, video, "cpu"))


def oracle(engine, model, video):
    """Gradients by one graph of the whole video."""
    fixed = Fixed()
    tape = Tape(engine, model, engine.geometry(video.size, model.grid), NoInterference())
    steps = engine.replace(interference=fixed).run(model, video, "cpu")
    loss = sum(part for step in steps if (part := video_loss(tape, video, step)) is not None)
    loss.backward()
    return {t: noise.grad for t, noise in fixed.noise.items() if noise.grad is not None}


class Gradients(Noise):
    """Keeps what the attack would follow."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def follow(self, gradients, eps, steps, momentum):
        for (t, _, _), gradient in zip(self._asked, gradients, strict=True):
            if gradient is not None:
                self.found[t] = gradient
        self._asked = []


CASES = {
    "key": (KeyDouble, {}),
    "clips": (ClipDouble, {"clip_length": 3}),
    "ahead": (ClipDouble, {"clip_length": 2, "overlap": 2}),
    "transient": (ClipDouble, {"clip_length": 1}),
    "reaggregated": (KeyDouble, {"short_side": 24}),
    "overwritten": (ClipDouble, {"merge": "overwrite", "resize_of": "logits"}),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_that_of_one_graph(name):
    kind, options = CASES[name]
    model, video, engine = network(kind), late_video(), Engine(policy=POLICY, **options)
    model.requires_grad_(False)
    wanted = oracle(engine, model, video)
    noise = Gradients()
    with torch.enable_grad():
        GradientAttack()._attack(engine, model, video, "cpu", noise)
    assert set(noise.found) == set(wanted) and len(wanted) >= 2
    for t, gradient in wanted.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(noise.found[t], gradient, rtol=1e-4, atol=1e-6 * float(gradient.abs().max()))


def test_gradient_where_nobody_wants_some_frames():
    wanted = [t in (0, 2, 3, 6, 8, 9, 11) for t in range(12)]
    model, video, engine = network(KeyDouble), MemoryVideo(frames=12, wanted=wanted), Engine(policy=POLICY)
    model.requires_grad_(False)
    expected = oracle(engine, model, video)
    noise = Gradients()
    with torch.enable_grad():
        GradientAttack()._attack(engine, model, video, "cpu", noise)
    assert set(noise.found) == set(expected) and len(expected) >= 3
    for t, gradient in expected.items():
        torch.testing.assert_close(noise.found[t], gradient, rtol=1e-4, atol=1e-6 * float(gradient.abs().max()))


@pytest.mark.parametrize("options", [{}, {"steps": 4, "momentum": 1}])
@pytest.mark.parametrize("kind", [KeyDouble, ClipDouble])
def test_attack_raises_the_loss_more_than_random_signs(kind, options):
    model, video, engine = network(kind), MemoryVideo(frames=10), Engine(policy=POLICY)
    clean = total(engine, model, video)
    attacked = total(engine.replace(interference=GradientAttack(**options)), model, video)
    random = []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        fixed = Fixed()
        list(engine.replace(interference=fixed).run(model, video, "cpu"))
        signs = {t: EPS * torch.randn(x.shape, generator=generator).sign() for t, x in fixed.clean.items()}
        random.append(total(engine.replace(interference=Fixed(signs)), model, video))
    assert attacked > clean
    assert attacked - clean > 3 * (max(random) - clean)


@pytest.mark.parametrize("options", [{}, {"steps": 3, "momentum": 1}, {"eps": 200}])
def test_change_stays_within_eps_and_masks_within_their_range(options):
    model, video, engine = network(KeyDouble), MemoryVideo(frames=8), Engine(policy=POLICY)
    attack = GradientAttack(**options)
    noise = found_by(attack, engine, model, video)
    assert noise.values
    assert all(values.abs().max() <= attack.eps / 255 + 1e-6 for values in noise.values.values())
    fixed = Fixed(noise.values)
    list(engine.replace(interference=fixed).run(model, video, "cpu"))
    assert max(float(x.abs().max()) for x in fixed.changes.values()) > 0.5 * attack.eps / 255
    assert all(float((fixed.clean[t] + x).min()) >= 0 for t, x in fixed.changes.items())


def test_one_step_is_the_sign_of_the_gradient():
    model, video, engine = network(KeyDouble), MemoryVideo(frames=8), Engine(policy=POLICY)
    model.requires_grad_(False)
    gradients = oracle(engine, model, video)
    fixed = Fixed()
    list(engine.replace(interference=fixed).run(model, video, "cpu"))
    noise = found_by(GradientAttack(eps=20), engine, model, video).values
    for t, gradient in gradients.items():
        clean = fixed.clean[t]
        wanted = (clean + EPS * gradient.sign()).clamp(0, 1) - clean
        steep = gradient.abs() > 1e-5 * gradient.abs().max()
        torch.testing.assert_close(noise[t][steep], wanted[steep], atol=1e-6, rtol=0)


def test_eps_0_is_off_to_the_bit():
    model, video, engine = network(KeyDouble), MemoryVideo(frames=8), Engine(policy=POLICY)
    runs = []
    for interference in (NoInterference(), GradientAttack(eps=0)):
        with torch.no_grad():
            runs.append([s.masks.probs for s in engine.replace(interference=interference).run(model, video, "cpu")])
    assert all(torch.equal(*pair) for pair in zip(*runs, strict=True))


def test_equal_each_time_and_nothing_left_behind():
    model, video, engine = network(KeyDouble), MemoryVideo(frames=8), Engine(policy=POLICY)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attack = GradientAttack(steps=2, momentum=1)
    one = found_by(attack, engine, model, video)
    torch.manual_seed(99)
    other = found_by(attack, engine, model, video)
    assert all(torch.equal(one.values[t], other.values[t]) for t in one.values)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(values.requires_grad for values in one.values.values())


def test_black_box_noise_is_the_other_networks():
    model, other = network(KeyDouble), network(KeyDouble, seed=5)
    video, engine = MemoryVideo(frames=8), Engine(policy=POLICY)
    white = found_by(GradientAttack(), engine, model, video).values
    black = found_by(GradientAttack(source=other), engine, model, video).values
    own = found_by(GradientAttack(), engine, other, video).values
    assert set(white) == set(black)
    assert any(not torch.equal(white[t], black[t]) for t in white)
    assert all(torch.equal(own[t], black[t]) for t in own)
    assert total(engine.replace(interference=GradientAttack(source=other)), model, video) != total(engine, model, video)


def test_noise_is_resized_to_the_evaluated_networks_grid():
    other, video = network(ClipDouble), MemoryVideo(frames=8)
    other.default_engine = Engine(short_side=24)
    hard = PoolDouble()
    engine = Engine(policy=POLICY, mask_size="original")
    noise = found_by(GradientAttack(source=other), engine, hard, video).values
    assert all(values.shape[-2:] == (32, 40) and values.abs().max() <= EPS + 1e-6 for values in noise.values())
    engine = Engine(policy=POLICY, short_side=48)
    noise = found_by(GradientAttack(source=other), engine, network(KeyDouble), video).values
    assert all(values.shape[-2:] == (48, 64) for values in noise.values())


def test_networks_that_harden_masks_refuse():
    video = MemoryVideo(frames=6)
    engine = Engine(policy=POLICY, mask_size="original", interference=GradientAttack())
    with pytest.raises(UnsupportedError, match=r"PoolDouble hardens masks.*soft_masks=true"):
        next(engine.run(PoolDouble(), video, "cpu"))
    assert not video.read_in


@pytest.mark.parametrize("name", ["cfbi", "rpcm", "aoc"])
def test_soft_masks_of_the_matching_family_are_attacked(name):
    video = MemoryVideo(frames=5)
    hard, soft = (small_matching(name, "none", options=(f"model.soft_masks={on}",)) for on in ("false", "true"))
    engine = soft.default_engine
    with pytest.raises(UnsupportedError, match="hardens"):
        next(engine.replace(interference=GradientAttack()).run(hard, video, "cpu"))
    # Random weights make a network so rough that a gradient does not lead far.
    assert total(engine.replace(interference=GradientAttack(eps=0.2)), soft, video) > total(engine, soft, video) + 0.05


def test_truth_is_needed_and_streaming_refused():
    with pytest.raises(DatasetError, match="'cups' has none in 5 frames"):
        video = MemoryVideo("cups", frames=6, masks=[0])
        next(Engine(interference=GradientAttack()).run(KeyDouble(), video, "cpu"))
    with pytest.raises(ConfigError, match="streaming"):
        Engine(interference=GradientAttack()).stream(KeyDouble(), (32, 40))
    with pytest.raises(ConfigError, match="weak"):
        engine = Engine(interference=GradientAttack(source="weak.ckpt"))
        next(engine.run(KeyDouble(), MemoryVideo(frames=6), "cpu"))


@pytest.mark.parametrize("options", [{"eps": -1}, {"eps": 256}, {"steps": 0}, {"momentum": -1}])
def test_numbers_are_checked(options):
    with pytest.raises(ConfigError, match="wanted"):
        GradientAttack(**options)


class Held:
    """Bytes that graphs hold."""

    now = peak = 0

    def __init__(self, tensor):
        # An output of a node would hold the node, and be held by it.
        self.tensor, self.size = tensor.detach(), tensor.nbytes
        Held.now += self.size
        Held.peak = max(Held.peak, Held.now)

    def __del__(self):
        Held.now -= self.size


def test_no_more_graph_for_a_longer_video():
    model, peaks = network(ClipDouble), []
    engine = Engine(policy=IntervalPolicy(every=None, recent=True), clip_length=1)
    for frames in (6, 24):
        gc.collect()
        Held.now = Held.peak = 0
        with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
            found_by(GradientAttack(), engine, model, MemoryVideo(frames=frames))
        peaks.append(Held.peak)
    assert 0 < peaks[1] < 1.1 * peaks[0]
