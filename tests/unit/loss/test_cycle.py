import pytest
import torch
from doubles import DOUBLES, ClipDouble, KeyDouble
from scenes import make_clip

from vosfw.config import compose, instantiate
from vosfw.engine.augment import Augment
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError
from vosfw.loss.bootstrapped_ce import BootstrappedCE
from vosfw.loss.cycle import CycleLoss
from vosfw.loss.mask_iou import MaskIoU
from vosfw.loss.weighted import WeightedLoss
from vosfw.types import VOID

FRAME = WeightedLoss({"iou": MaskIoU(), "ce": BootstrappedCE(0, 0, 0.4)})


def network(kind=KeyDouble):
    torch.manual_seed(0)
    return kind().eval()


def engine_for(model, **options):
    family = {"merge": "overwrite", "mask_size": "original", "resize_of": "logits", "align_corners": True}
    return Engine(IntervalPolicy(1), **(family if model.grid.mode == "resize" else {}), **options)


def terms(clip, model=None, engine=None, **options):
    model = model or network()
    rollout = (engine or engine_for(model)).rollout(model, clip)
    return CycleLoss(FRAME, **options)(rollout, clip, 0.5)


def by_hand(clip, model, *, cyclic):
    """One sample of a network that pads nothing: the objective spelled out; ``cyclic`` are frames that lead back."""
    from vosfw.types import ObjectMasks

    features = model.encode(clip.frames)
    state = model.init_state(features.at(0), ObjectMasks.from_labels(clip.labels[:, 0], clip.valid))
    total, masks = 0.0, {}
    for t in range(1, clip.frames.shape[1]):
        logits, state = model.segment(features.at(t), state)
        total = total + FRAME(logits[:, 0], clip.labels[:, t], clip.valid, 0.5)
        masks[t] = ObjectMasks(logits[:, 0].softmax(1), clip.valid, torch.ones_like(logits[:, 0, :1]))
        state = model.memorize(features.at(t), masks[t], state, keep=True)
    for t in cyclic:
        logits, _ = model.segment(features.at(0), model.init_state(features.at(t), masks[t]))
        total = total + FRAME(logits[:, 0], clip.labels[:, 0], clip.valid, 0.5)
    return total / len(masks)


# ``reaggregate`` would soften the given masks a little.
PLAIN = Engine(IntervalPolicy(1), merge="overwrite")


@pytest.mark.parametrize("frames, cyclic", [(None, (1, 2)), ([-1], (2,)), ([0, 0], (1, 1))])
def test_objective_spelled_out(frames, cyclic):
    clip, model = make_clip(batch=1, frames=3), network()
    got = terms(clip, model, PLAIN, frames=frames)
    expected = by_hand(clip, model, cyclic=cyclic)
    torch.testing.assert_close(got["loss"], expected)
    torch.testing.assert_close(got["loss"], got["forward"] + got["cycle"])
    gradients = [torch.autograd.grad(value, model.parameters()) for value in (got["loss"], expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def without(clip, sample, frame, slot):
    labels = clip.labels.clone()
    labels[sample, frame][labels[sample, frame] == slot + 1] = 0
    return clip._replace(labels=labels)


def test_a_batch_is_the_mean_of_its_samples():
    """Other numbers of objects, and a sample whose cyclic terms do not all apply."""
    clip = make_clip(batch=2, frames=3)
    lone = torch.where(clip.labels[1] == 2, 0, clip.labels[1])
    clip = clip._replace(
        labels=torch.stack([clip.labels[0], lone]),
        valid=torch.tensor([[True, True], [True, False]]),
        given=clip.given & torch.tensor([[True, True], [True, False]])[:, None],
    )
    clip = without(clip, 0, 2, 1)
    for visible in ("highest", "all", "any"):
        got = terms(clip, visible=visible)
        alone = [
            terms(type(clip)(*(part[i : i + 1] for part in clip)), visible=visible)  # sample by sample
            for i in range(2)
        ]
        for name in ("loss", "forward", "cycle"):
            torch.testing.assert_close(got[name], (alone[0][name] + alone[1][name]) / 2, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "visible, absent, applies",
    [("highest", [1], 0), ("highest", [0], 1), ("all", [0], 0), ("any", [0], 1), ("any", [0, 1], 0), ("all", [], 1)],
)
def test_which_frames_lead_back(visible, absent, applies):
    """Object 2 is the highest; frame 1 is the only predicted one."""
    clip = make_clip(batch=1, frames=2)
    for slot in absent:
        clip = without(clip, 0, 1, slot)
    got = terms(clip, visible=visible)
    assert (got["cycle"] > 0) == bool(applies)
    got["loss"].backward()


def test_padding_slots_and_order_of_objects_change_nothing():
    clip = make_clip(batch=2, frames=3)
    padded = make_clip(batch=2, frames=3, padding=2)
    swap = torch.tensor([0, 2, 1], dtype=torch.uint8)
    swapped = clip._replace(labels=swap[clip.labels.long()])
    for name, value in terms(clip).items():
        for other in (padded, swapped):
            torch.testing.assert_close(terms(other)[name], value, atol=1e-5, rtol=1e-5)


def test_classes_count_where_they_are_seen():
    """Forward: those of the first frame; back: those of the frame that leads back. Then only class 1 has a loss."""
    clip = make_clip(batch=1, frames=2)
    labels = clip.labels.clone()
    labels[:, 0] = torch.where(labels[:, 0] == 2, VOID, labels[:, 0])
    labels[:, 1] = torch.where(labels[:, 1] == 1, 1, VOID)
    clip = clip._replace(labels=labels)
    model = network()
    rollout = PLAIN.rollout(model, clip)
    got = CycleLoss(FRAME, visible="any")(rollout, clip, 0.0)
    counted = torch.tensor([[True, True, False]])
    logits = rollout.steps[0].logits
    torch.testing.assert_close(got["forward"], FRAME.per_sample(logits, labels[:, 1], clip.valid, 0.0, counted).mean())
    counted = torch.tensor([[False, True, False]])
    (logits,) = rollout.reconstruct(rollout.steps[:1])
    torch.testing.assert_close(got["cycle"], FRAME.per_sample(logits, labels[:, 0], clip.valid, 0.0, counted).mean())


@pytest.mark.parametrize("name", DOUBLES)
def test_every_parameter_has_a_gradient_even_where_no_frame_leads_back(name):
    model = network(DOUBLES[name])
    clip = make_clip(frames=1 + model.clip_length)
    for t in range(1, clip.frames.shape[1]):
        for sample in range(2):
            clip = without(clip, sample, t, 1)
    got = terms(clip, model)
    assert got["cycle"] == 0
    got["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", DOUBLES)
def test_every_network_learns_in_a_cycle(name):
    model = network(DOUBLES[name]).train()
    clip = make_clip(frames=1 + 2 * model.clip_length)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    values = []
    for _ in range(6):
        optimizer.zero_grad()
        got = terms(clip, model)
        got["loss"].backward()
        optimizer.step()
        values.append((got["loss"].item(), got["cycle"].item()))
    assert values[-1][0] < values[0][0] and values[-1][1] < values[0][1]


def test_gradient_flows_back_through_the_predicted_masks():
    """The cyclic term alone changes what is predicted."""
    model, clip = network(ClipDouble), make_clip(batch=1, frames=2)
    rollout = Engine().rollout(model, clip)
    probs = rollout.steps[0].masks.probs
    got = CycleLoss(FRAME)(rollout, clip, 0.0)
    back = got["loss"] - CycleLoss(FRAME, weight=0)(rollout, clip, 0.0)["loss"]
    (gradient,) = torch.autograd.grad(back, probs)
    assert gradient[:, 1:].abs().max() > 0


def test_scales_and_flips_lead_back_too():
    model, clip = network(), make_clip(batch=1, frames=2)
    mirrored = clip._replace(frames=clip.frames.flip(-1), labels=clip.labels.flip(-1))
    engine = engine_for(model, augment=Augment(flip=True))
    one, other = terms(clip, model, engine), terms(mirrored, model, engine)
    torch.testing.assert_close(one["cycle"], other["cycle"], atol=1e-4, rtol=1e-4)
    assert one["cycle"] > 0


def test_weight():
    clip = make_clip(batch=1, frames=3)
    half, none, full = terms(clip, weight=0.5), terms(clip, weight=0), terms(clip)
    torch.testing.assert_close(half["loss"], full["forward"] + full["cycle"] / 2)
    assert set(none) == {"loss"} and torch.equal(none["loss"].detach(), full["forward"])


def test_configs_hold_the_released_objective():
    loss = instantiate(compose(["loss=cycle"], "train").loss)
    assert isinstance(loss.frame_loss, WeightedLoss) and loss.frame_loss.weights == {"iou": 1.0, "ce": 1.0}
    assert loss.frame_loss.losses["ce"].share(0.0) == 0.4
    clip, model = make_clip(batch=1, frames=3), network()
    rollout = engine_for(model).rollout(model, clip)
    got = loss(rollout, clip, 0.0)
    stm = instantiate(compose(["loss=stm"], "train").loss)(rollout, clip, 0.0)
    torch.testing.assert_close(stm["loss"].detach(), got["forward"])
    other = instantiate(compose(["loss=cycle", "loss@loss.frame_loss=bootstrapped_ce"], "train").loss)
    assert isinstance(other.frame_loss, BootstrappedCE)


@pytest.mark.parametrize("options", [{"weight": -1.0}, {"visible": "most"}, {"frames": []}])
def test_options_are_checked(options):
    with pytest.raises(ConfigError, match=f"loss.{next(iter(options))}"):
        CycleLoss(FRAME, **options)


def test_frames_must_exist():
    with pytest.raises(ConfigError, match=r"loss.frames is \[2\], but a clip has 2 predicted frames"):
        terms(make_clip(frames=3), frames=[2])
    clip = make_clip(frames=1)
    with pytest.raises(ConfigError, match="no frame of the clip"):
        terms(clip)
