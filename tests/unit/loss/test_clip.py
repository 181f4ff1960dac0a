import pytest
import torch
from doubles import DOUBLES, ClipDouble, KeyDouble
from scenes import make_clip

from vosfw.config import compose, instantiate
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError
from vosfw.loss.bootstrapped_ce import BootstrappedCE
from vosfw.loss.clip import ClipLoss
from vosfw.loss.sequence import SequenceLoss
from vosfw.types import VOID

IMAGE = SequenceLoss(BootstrappedCE())


def network(kind=KeyDouble):
    torch.manual_seed(0)
    return kind().eval()


def engine_for(model, **options):
    family = {"merge": "overwrite", "mask_size": "original", "resize_of": "logits", "align_corners": True}
    return Engine(IntervalPolicy(1), **(family if model.grid.mode == "resize" else {}), **options)


def terms(clip, model=None, engine=None, **options):
    model = model or network()
    rollout = (engine or engine_for(model)).rollout(model, clip)
    return ClipLoss(IMAGE, **options)(rollout, clip, 0.5)


def by_hand(rollout, clip, cuts, squared=False):
    """1 - Dice, object by object and clip by clip."""
    probs = {step.frame: step.logits.softmax(1) for step in rollout.steps}
    total = 0.0
    for b in range(len(clip.labels)):
        for frames in cuts:
            for k in range(1, int(clip.valid[b].sum()) + 1):
                pixels = [clip.labels[b, t] != VOID for t in frames]
                p = torch.cat([probs[t][b, k][pixels[i]] for i, t in enumerate(frames)])
                g = torch.cat([(clip.labels[b, t] == k)[pixels[i]] for i, t in enumerate(frames)]).float()
                below = (p**2).sum() + (g**2).sum() if squared else p.sum() + g.sum()
                total = total + 1 - (2 * (p * g).sum() + 1) / (below + 1)
    return total / len(clip.labels)


@pytest.mark.parametrize(
    ("options", "cuts"),
    [
        ({}, [(1,), (2,), (3,), (4,)]),
        ({"clip_length": 2}, [(1, 2), (3, 4)]),
        ({"clip_length": 3, "dice": "squared"}, [(1, 2, 3), (4,)]),
        ({"clip_length": 9}, [(1, 2, 3, 4)]),
    ],
)
def test_objective_spelled_out(options, cuts):
    clip, model = make_clip(frames=5), network()
    clip.labels[:, 2:, :9, :7] = VOID
    rollout = engine_for(model).rollout(model, clip)
    got = ClipLoss(IMAGE, **options)(rollout, clip, 0.5)
    torch.testing.assert_close(got["clip"], by_hand(rollout, clip, cuts, options.get("dice") == "squared").detach())
    torch.testing.assert_close(got["image"], IMAGE(rollout, clip, 0.5)["loss"].detach())
    torch.testing.assert_close(got["loss"].detach(), got["image"] + got["clip"])


def test_clips_are_those_of_the_training_engine():
    model, clip = network(ClipDouble), make_clip(frames=7)
    own, engine = model.clip_length, engine_for(model, clip_length=2)
    assert own > 2
    for used, length in ((None, own), (engine, 2)):
        torch.testing.assert_close(
            terms(clip, model, used)["clip"], terms(clip, model, used, clip_length=length)["clip"]
        )
    lone = terms(clip, model, engine, clip_length=1)["clip"]
    assert (terms(clip, model, engine)["clip"] - lone).abs() > 1e-3


def test_a_clear_prediction_has_no_loss_and_void_none_either():
    clip, model = make_clip(frames=3), network()
    rollout = engine_for(model).rollout(model, clip)
    labels = clip.labels.clone()
    labels[:, :, :5] = VOID
    steps = tuple(
        step._replace(logits=60.0 * torch.nn.functional.one_hot(clip.labels[:, step.frame].long(), 3).movedim(-1, 1))
        for step in rollout.steps
    )
    wrong = tuple(step._replace(logits=step.logits.index_fill(2, torch.arange(5), 7.0)) for step in steps)
    for found in (steps, wrong):
        got = ClipLoss(IMAGE, clip_length=2)(rollout._replace(steps=found), clip._replace(labels=labels), 0.0)
        assert got["clip"].item() == pytest.approx(0, abs=1e-5)
    assert ClipLoss(IMAGE)(rollout._replace(steps=wrong), clip, 0.0)["clip"] > 0.01


def test_an_object_that_is_gone_should_not_be_seen():
    clip, model = make_clip(batch=1, frames=3, slots=1), network()
    rollout = engine_for(model).rollout(model, clip)
    gone = clip._replace(labels=clip.labels.clone())
    gone.labels[:, 1:] = 0
    area = sum(step.logits.softmax(1)[:, 1].sum() for step in rollout.steps)
    got = ClipLoss(IMAGE, clip_length=2)(rollout, gone, 0.0)["clip"]
    torch.testing.assert_close(got, (1 - 1 / (1 + area)).detach())


def test_slots_that_only_pad_change_nothing():
    plain, padded = (terms(make_clip(frames=4, padding=padding), clip_length=3) for padding in (0, 2))
    for name, value in plain.items():
        torch.testing.assert_close(padded[name], value, atol=1e-5, rtol=1e-5)


def test_a_batch_is_the_mean_of_its_samples():
    clip, model = make_clip(frames=4), network()
    alone = [terms(type(clip)(*(part[i : i + 1] for part in clip)), model, clip_length=3) for i in range(2)]
    for name, value in terms(clip, model, clip_length=3).items():
        torch.testing.assert_close(value, (alone[0][name] + alone[1][name]) / 2)


def test_no_object_no_clip_loss():
    clip = make_clip(frames=3)
    nothing = {"valid": torch.zeros_like(clip.valid), "labels": torch.zeros_like(clip.labels)}
    got = terms(clip._replace(**nothing))
    assert got["clip"] == 0 and got["loss"].isfinite()


def test_weight():
    clip = make_clip(frames=3)
    full, half, none = (terms(clip, weight=weight) for weight in (1, 0.5, 0))
    torch.testing.assert_close(half["loss"].detach(), full["image"] + full["clip"] / 2)
    torch.testing.assert_close(none["loss"].detach(), full["image"])


def test_gradient_is_that_of_finite_differences():
    """Of the clips' term, in the logits of one pixel of one frame."""
    clip, model = make_clip(batch=1, frames=3), network()
    rollout = engine_for(model).rollout(model, clip)
    loss = ClipLoss(IMAGE, clip_length=2)
    fixed = [step.logits.detach() for step in rollout.steps]

    def volume(logits):
        steps = tuple(step._replace(logits=x) for step, x in zip(rollout.steps, (logits, fixed[1]), strict=True))
        found = loss(rollout._replace(steps=steps), clip, 0.0)
        return found["loss"] - loss.image(rollout._replace(steps=steps), clip, 0.0)["loss"]

    logits = fixed[0].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(volume(logits), logits)
    assert gradient[0, 1].abs().max() > 0
    place = tuple((gradient[0].abs() == gradient[0].abs().max()).nonzero()[0].tolist())
    moved = [fixed[0].clone() for _ in range(2)]
    for x, step in zip(moved, (1.0, -1.0), strict=True):
        x[(0, *place)] += step
    assert (volume(moved[0]) - volume(moved[1])).item() / 2 == pytest.approx(gradient[(0, *place)].item(), rel=0.2)


@pytest.mark.parametrize("name", DOUBLES)
def test_every_network_learns_from_it(name):
    model = network(DOUBLES[name]).train()
    clip = make_clip(frames=1 + 2 * model.clip_length)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    values = []
    for _ in range(12):
        optimizer.zero_grad()
        got = terms(clip, model, weight=10.0)
        got["loss"].backward()
        optimizer.step()
        values.append((got["loss"].item(), got["clip"].item()))
    assert values[-1][0] < values[0][0] and values[-1][1] < values[0][1]


def test_the_config_is_the_papers_objective():
    loss = instantiate(compose(["loss=clip", "loss.image.frame_loss.total=300000"]).loss)
    assert isinstance(loss, ClipLoss) and loss.image.reduction == "sum"
    assert isinstance(loss.image.frame_loss, BootstrappedCE) and loss.image.frame_loss.total == 300_000
    assert (loss.clip_length, loss.squared, loss.smooth, loss.weight) == (None, False, 1.0, 1.0)


@pytest.mark.parametrize(
    "options", [{"clip_length": 0}, {"dice": "cubic"}, {"smooth": 0}, {"weight": -1.0}], ids=lambda o: next(iter(o))
)
def test_options_are_checked(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        ClipLoss(IMAGE, **options)


def test_something_must_be_predicted():
    with pytest.raises(ConfigError, match="no frame of the clip"):
        terms(make_clip(frames=1))


@pytest.mark.parametrize("merge", ["reaggregate", "overwrite"])
def test_an_object_that_joins_in_the_middle_of_a_clip(merge):
    """Its frame is predicted for the others, and has classes whose probability is 0, in slots that only pad too."""
    clip, model = make_clip(frames=6, slots=2, padding=1), network(ClipDouble)
    clip.given[:, :, 1] = torch.arange(6) == 2
    clip.labels[:, :2][clip.labels[:, :2] == 2] = 0
    engine = Engine(IntervalPolicy("clip"), merge=merge)
    rollout = engine.rollout(model, clip)
    assert [step.frame for step in rollout.steps] == [1, 2, 3, 4, 5]
    loss = ClipLoss(IMAGE)(rollout, clip, 0.5)["loss"]
    assert loss < 100
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
