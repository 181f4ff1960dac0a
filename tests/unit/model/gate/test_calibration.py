"""Calibration against a loop over objects in which every map is built."""

import pytest
import torch
from torch import nn

from vosfw.errors import ConfigError
from vosfw.model.gate import calibration
from vosfw.model.gate.calibration import CalibrationGate, ConditioningLayer, DescribedGate

CHANNELS, WIDTH, SIZE = 4, 6, (5, 6)
KINDS = [("soft", "maximum"), ("soft", "means"), ("hard", "maximum"), ("hard", "means")]
VALID = torch.tensor([[True, True, True, False], [True, True, False, False]])


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


X, HEAD = random(2, 4, CHANNELS, *SIZE), random(2, 4, WIDTH, seed=1)


def make(**options):
    torch.manual_seed(0)
    return CalibrationGate(CHANNELS, WIDTH, **options)


def condition(layer, z, beta, soft):
    """Of one object's map, channels first."""
    if layer.phi is None:
        return layer.mlp(z.mean((1, 2)))
    score = (layer.phi.weight[0] @ z.flatten(1) + layer.phi.bias).flatten()
    score = score.relu() if soft else score
    kept = max(int(beta * score.numel()), 1)
    least = score.sort(descending=True).values[kept - 1]
    if soft:
        weight = score * (score >= least)
        return layer.mlp((z.flatten(1) * weight).sum(1) / weight.sum().clamp(min=1e-6))
    return layer.mlp((z.flatten(1) * (score > least)).mean(1))


def short(code):
    """Mean zero and length one, but for what keeps it from a division by zero."""
    centred = code - code.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt() / len(code) ** 0.5


def gains(gate, x, head, valid, beta, soft, maximum):
    """Of one video: the other objects' maps, or the sum of their means."""
    rows, used = [], [k for k in range(len(x)) if valid[k]]
    for k in range(len(x)):
        if maximum:
            maps = torch.stack([nn.functional.conv2d(x[j], gate.aggregate.weight[..., None, None]) for j in used])
            common = maps.amax(0) + gate.aggregate.bias[:, None, None]
            against = condition(gate.against, common - x[k], beta, soft)
        else:
            against = gate.against.mlp(sum([x[j].mean((1, 2)) for j in used if j != k], torch.zeros(CHANNELS)))
        codes = [condition(gate.own, x[k], beta, soft), against, gate.described(head[k])]
        codes = [short(code) for code in codes] if gate.normalize else codes
        rows.append(1 + gate.mlp(torch.cat(codes)).tanh())
    return torch.stack(rows)


@pytest.mark.parametrize(("confidence", "others"), KINDS)
@pytest.mark.parametrize("beta", [0, 0.01, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("normalize", [True, False])
def test_gains_are_those_of_a_loop(confidence, others, beta, normalize):
    gate = make(beta=beta, confidence=confidence, others=others, normalize=normalize)
    found = gate(X, HEAD, VALID)
    for b in range(2):
        wanted = gains(gate, X[b], HEAD[b], VALID[b], beta, confidence == "soft", others == "maximum")
        torch.testing.assert_close(found[b][VALID[b]], wanted[VALID[b]], atol=1e-5, rtol=1e-4)


def test_the_maximum_is_the_same_a_few_objects_at_a_time(monkeypatch):
    gate = make()
    whole = gate(X, HEAD, VALID)
    monkeypatch.setattr(calibration, "rows_at_once", lambda x, size: 1)
    torch.testing.assert_close(gate(X, HEAD, VALID), whole)


def test_three_kept_cells_by_hand():
    """Scores 0, 1, 2, 3: half of the cells are kept."""
    z = torch.tensor([0.0, 1.0, 2.0, 3.0]).view(1, 1, 1, 2, 2)
    for confidence, wanted in (("soft", (2 * 2 + 3 * 3) / (2 + 3)), ("hard", 3 / 4)):
        layer = ConditioningLayer(1, 0.5, confidence)
        nn.init.constant_(layer.phi.weight, 1.0)
        nn.init.constant_(layer.phi.bias, 0.0)
        nn.init.constant_(layer.mlp.weight, 1.0)
        nn.init.constant_(layer.mlp.bias, 0.0)
        assert layer(z).item() == pytest.approx(wanted)


@pytest.mark.parametrize(("confidence", "others"), KINDS)
def test_the_order_of_objects_does_not_matter(confidence, others):
    gate, order = make(confidence=confidence, others=others), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(gate(X[:, order], HEAD[:, order], VALID[:, order]), gate(X, HEAD, VALID)[:, order])


@pytest.mark.parametrize("gate", [make(), make(others="means"), DescribedGate(CHANNELS, WIDTH)])
def test_slots_that_are_not_in_use_change_nothing(gate):
    other = torch.where(VALID[..., None, None, None], X, 100.0)
    torch.testing.assert_close(gate(other, HEAD, VALID)[VALID], gate(X, HEAD, VALID)[VALID])
    thin = gate(X[:1, :3], HEAD[:1, :3], VALID[:1, :3])
    torch.testing.assert_close(gate(X[:1], HEAD[:1], VALID[:1])[:, :3], thin)
    # Were they in use, the others' gains would be other ones.
    assert not torch.allclose(gate(X, HEAD, torch.ones_like(VALID))[VALID], gate(X, HEAD, VALID)[VALID])


def test_without_confidence_every_cell_counts_and_nothing_selects():
    gate = make(beta=0)
    assert gate.own.phi is None and gate.against.phi is None
    assert not any("phi" in name for name, _ in gate.named_parameters())
    shuffled = X.flatten(3)[..., torch.randperm(30, generator=torch.Generator().manual_seed(0))].view(X.shape)
    torch.testing.assert_close(gate(shuffled, HEAD, VALID), gate(X, HEAD, VALID))


def test_gradients_reach_phi_in_soft_mode_alone():
    for confidence in ("soft", "hard"):
        gate = make(confidence=confidence)
        gate(X, HEAD, VALID)[VALID].square().sum().backward()
        for layer in (gate.own, gate.against):
            assert layer.phi.weight.requires_grad is (confidence == "soft")
            assert (layer.phi.weight.grad is not None and layer.phi.weight.grad.any().item()) is (confidence == "soft")
        rest = {name: p for name, p in gate.named_parameters() if "phi" not in name}
        assert all(p.grad is not None and p.grad.any() for p in rest.values())


def test_described_gains_by_hand():
    gate = DescribedGate(1, 1)
    gate.load_state_dict({"linear.weight": torch.tensor([[0.5, 1.0]]), "linear.bias": torch.tensor([0.1])})
    x = torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1, 1, 1).expand(1, 3, 1, 2, 2)
    found = gate(x, torch.ones(1, 3, 1), torch.tensor([[True, True, True]])).flatten()
    torch.testing.assert_close(found, 1 + torch.tensor([6.6, 5.6, 3.6]).tanh())
    alone = gate(x[:, :1], torch.ones(1, 1, 1), torch.tensor([[True]])).flatten()
    torch.testing.assert_close(alone, 1 + torch.tensor([0.6]).tanh())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"beta": -0.1}, "beta is -0.1"),
        ({"beta": 1.5}, r"beta is 1\.5"),
        ({"confidence": "firm"}, "confidence is 'firm'; wanted soft or hard"),
        ({"others": "sum"}, "others is 'sum'; wanted maximum or means"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ConfigError, match=match):
        make(**options)
