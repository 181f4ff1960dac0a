import math

import pytest
import torch
from doubles import PoolDouble
from modules import MemoryVideo
from scenes import ToyVideo
from unit.model.test_contract import build

from vosfw.analysis import cycle_erf, draw_cycle_erf, erf_overlay
from vosfw.analysis.cycle_erf import concentration, half_area
from vosfw.engine.augment import Augment
from vosfw.engine.corrector import GradientCorrector
from vosfw.engine.cycle import KnownFrame
from vosfw.engine.engine import Engine
from vosfw.errors import ConfigError
from vosfw.types import VOID, ObjectMasks

QUICK = {"rate": 20.0, "steps": 4}


@pytest.mark.parametrize("name", ["key", "stcn", "stm"])
def test_map_is_a_corrected_empty_mask(name):
    """Spelled out on frames that need no padding."""
    model, video = build(name), ToyVideo(frames=4, size=(32, 48))
    (got,) = cycle_erf(model, video, frames=[2], **QUICK)
    with torch.no_grad():
        features = model.encode(video.images[None].float() / 255)
        valid = torch.ones(1, 2, dtype=torch.bool)
        known = KnownFrame(features.at(0), ObjectMasks.from_labels(video.labels[:1], valid))
        empty = ObjectMasks(torch.zeros(1, 3, 32, 48), valid, torch.ones(1, 1, 32, 48))
        grown = GradientCorrector(**QUICK).correct(model, features.at(2), empty, known, Engine().resize)
    torch.testing.assert_close(got.maps, grown.masks.probs[0, 1:].relu(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(got.losses, grown.losses[:, 0])
    assert (got.frame, got.target, got.classes) == (2, 0, (1, 2)) and got.maps.max() > 0
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_any_frame_object_and_target():
    """Only object 2 is given in frame 3; slots are told apart, and padding is cut away."""
    model, video = build("key"), ToyVideo(frames=6, size=(30, 41), late={1: 3})
    results = cycle_erf(model, video, frames=[5, 0], target=3, **QUICK)
    assert [(item.frame, item.target, item.classes) for item in results] == [(5, 3, (2,)), (0, 3, (2,))]
    assert results[0].maps.shape == (1, 30, 41)
    mask = video.labels[4].clone()
    mask[:4] = VOID
    (both,) = cycle_erf(model, video, frames=[1], target=4, target_mask=mask, **QUICK)
    assert both.classes == (1, 2)
    flipped = Engine(augment=Augment(flip=True))
    (same,) = cycle_erf(model, video, flipped, frames=[1], target=4, target_mask=mask, **QUICK)
    torch.testing.assert_close(same.maps, both.maps)


def test_truth_is_the_videos_own_or_given():
    model, video = build("key"), MemoryVideo(frames=4)
    (known,) = cycle_erf(model, video, frames=[2], **QUICK)
    assert ((known.concentration >= 0) & (known.concentration <= 1)).all()
    expected = [known.maps[k][video.labels[2] == k + 1].sum() / known.maps[k].sum() for k in range(2)]
    torch.testing.assert_close(known.concentration, torch.stack(expected))
    (unknown,) = cycle_erf(model, ToyVideo(frames=4), frames=[2], **QUICK)
    assert unknown.concentration.isnan().all() and unknown.half_area.isfinite().all()
    toy = ToyVideo(frames=4)
    (given,) = cycle_erf(model, toy, frames=[2], truth={2: toy.labels[2]}, **QUICK)
    assert given.concentration.isfinite().all()


def test_scores_by_hand():
    truth = torch.zeros(4, 5, dtype=torch.uint8)
    truth[0] = 1
    inside, even, empty, quarter = torch.zeros(4, 4, 5)
    inside[0, 1], even[:] = 3.0, 1.0
    quarter[0, 0], quarter[3, 3] = 1.0, 3.0
    maps, classes = torch.stack([inside, even, empty, quarter]), (1, 1, 1, 1)
    torch.testing.assert_close(concentration(maps, classes, truth), torch.tensor([1.0, 0.25, 0.0, 0.25]))
    torch.testing.assert_close(half_area(maps), torch.tensor([0.05, 0.5, 0.5, 0.05]))
    assert math.isnan(concentration(maps[:1], (7,), truth).item())
    assert concentration(maps, classes, None).isnan().all()


def test_overlay():
    """The largest of the objects, half over the frame."""
    maps = torch.zeros(2, 3, 4)
    maps[0, 0, 0], maps[1, 2, 3] = 0.5, 2.0
    picture = erf_overlay(torch.full((3, 3, 4), 100, dtype=torch.uint8), maps)
    assert picture[:, 1, 1].tolist() == [50, 50, 50]
    assert picture[:, 2, 3].tolist() == [178, 172, 145]
    assert picture[:, 0, 0].float().sum() > 150
    assert erf_overlay(torch.zeros(3, 3, 4, dtype=torch.uint8), torch.zeros(1, 3, 4)).max() == 0


def test_picture():
    video = MemoryVideo(frames=4)
    results = cycle_erf(build("key"), video, frames=[1, 2], **QUICK)
    sheet = draw_cycle_erf(video, results, height=32)
    assert sheet.shape == (3, 2 * (16 + 32 + 4) - 4 + 16 + 4, 3 * 44 - 4)
    assert draw_cycle_erf(ToyVideo(), results, height=32).shape == sheet.shape


def test_refusals():
    video, model = ToyVideo(frames=3), build("key")
    with pytest.raises(ConfigError, match="uses masks softly, which this PoolDouble does not"):
        cycle_erf(PoolDouble(), video, frames=[1])
    with pytest.raises(ConfigError, match=r"frames \[3\] are not in the video; wanted 0 to 2"):
        cycle_erf(model, video, frames=[1, 3])
    with pytest.raises(ConfigError, match=r"no mask is given in frame 1; give target_mask or take \[0\]"):
        cycle_erf(model, video, frames=[2], target=1)
    with pytest.raises(ConfigError, match="shows no object"):
        cycle_erf(model, video, frames=[2], target_mask=torch.zeros(32, 40, dtype=torch.uint8))
