import pytest
import torch
from doubles import KeyDouble
from scenes import ToyVideo
from small_matching import small_matching

from vosfw.analysis import calibration_steps, draw_calibration
from vosfw.errors import ConfigError
from vosfw.model.gate.calibration import CalibrationGate

STEPS = ("ensembler.gates.1.0", "decoder.gate1", "decoder.gate2")


def test_every_step_in_its_order():
    network, video = small_matching("aoc"), ToyVideo(frames=5, late={1: 2})
    results = calibration_steps(network, video, frames=(1, 4))
    assert [item.frame for item in results] == [1, 4]
    for item, classes in zip(results, (2, 3), strict=True):
        assert item.steps == STEPS
        assert item.classes == tuple(range(classes))
        assert [part.shape for part in item.before] == [(classes, 9, 9)] * 3
        for before, after, weight, gains in zip(item.before, item.after, item.weight, item.gains, strict=True):
            assert before.shape == after.shape == weight.shape
            assert gains.min() >= 0 and gains.max() <= 2
            # beta = 0.3 of 81 cells.
            assert ((weight > 0).sum((1, 2)) <= 24).all() and weight.max() == 1 and weight.min() == 0


def test_maps_are_those_of_the_gates():
    network, video = small_matching("aoc"), ToyVideo(frames=2)
    # Copies, since the layers behind work in place.
    got = {}
    hooks = [
        gate.register_forward_hook(lambda m, i, o, name=name: got.update({name: (i[0][0].clone(), o[0])}))
        for name, gate in network.named_modules()
        if isinstance(gate, CalibrationGate)
    ]
    try:
        item = calibration_steps(network, video, frames=[1])[0]
    finally:
        for hook in hooks:
            hook.remove()
    assert tuple(got) == STEPS
    for name, before, after, gains in zip(item.steps, item.before, item.after, item.gains, strict=True):
        x, factors = got[name]
        torch.testing.assert_close(before, x.mean(1))
        torch.testing.assert_close(after, (x * factors[..., None, None]).mean(1))
        assert torch.equal(gains, factors)


def test_cells_that_count_are_the_most_confident():
    network, video = small_matching("aoc"), ToyVideo(frames=2)
    gate, seen = network.decoder.gate2, []
    hook = gate.register_forward_hook(lambda module, inputs, result: seen.append(inputs[0].clone()))
    weight = calibration_steps(network, video, frames=[1])[0].weight[-1]
    hook.remove()
    confidence = torch.einsum("ochw,c->ohw", seen[0][0], gate.own.phi.weight[0]) + gate.own.phi.bias
    for own, kept in zip(confidence.relu().flatten(1), weight.flatten(1), strict=True):
        least = own.topk(24).values[-1]
        torch.testing.assert_close(kept, torch.where(own >= least, own, 0.0) / own.max())


def test_without_confidence_all_cells_count_alike():
    network, video = small_matching("aoc"), ToyVideo(frames=2)
    own = network.decoder.gate1.own
    phi, own.phi = own.phi, None
    try:
        item = calibration_steps(network, video, frames=[1])[0]
    finally:
        own.phi = phi
    assert (item.weight[1] == 1).all()


def test_pictures():
    video = ToyVideo(frames=3)
    results = calibration_steps(small_matching("aoc"), video, frames=[2])
    sheet = draw_calibration(video, results, height=32)
    row = 16 + 32 + 4
    assert sheet.shape == (3, 2 * 3 * row + 16, 4 * 44 - 4)
    assert draw_calibration(video, results, background=True, height=32).shape[1] == 3 * 3 * row + 16
    # Row three, last column: black where no cell counts, pale at the one that counts most.
    weight = results[0].weight[-1][1]
    tile = sheet[:, 2 * row + 16 : 3 * row - 4, 3 * 44 : 3 * 44 + 40].float()
    cells = torch.nn.functional.interpolate(tile[None], (9, 9), mode="nearest-exact")[0]
    assert (cells[:, weight == 0] == 0).all()
    assert cells[:, weight == 1].min() > 150


def test_nothing_stays_behind():
    network = small_matching("aoc")
    calibration_steps(network, ToyVideo(frames=2), frames=[1])
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("network", [KeyDouble(), small_matching("rpcm")], ids=["no gates", "other gates"])
def test_without_calibration(network):
    with pytest.raises(ConfigError, match="needs a network with calibration, which this"):
        calibration_steps(network, ToyVideo(frames=3), frames=[1])


def test_no_predicted_frame():
    with pytest.raises(ConfigError, match=r"none of the frames \[0\] is predicted"):
        calibration_steps(small_matching("aoc"), ToyVideo(frames=3), frames=[0])
