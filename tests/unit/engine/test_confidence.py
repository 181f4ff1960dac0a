"""Confidence by hand, and as a calibrated network reports it."""

import math

import numpy as np
import pytest
import torch
from scenes import ToyVideo

from vosfw.calibration import Case, collect, fit, report
from vosfw.config import compose, instantiate_engine, instantiate_model
from vosfw.data.synthetic import SyntheticDataset
from vosfw.engine.confidence import ExpectedOverlap, Logistic
from vosfw.engine.engine import Engine
from vosfw.errors import ConfigError, DatasetError
from vosfw.hub import load
from vosfw.predictor import Predictor

SCORES = torch.tensor(
    [[[0.0, 0.0, 0.25, 0.25, 1.0]], [[1, 1, 0, 0, 0]], [[0, 0, 0.5, 0.5, 0]], [[0, 0, 0.25, 0.25, 0]]]
)
"""An object that is certain, one that is half certain of two pixels, and one that is nowhere."""


def test_expected_overlap():
    assert ExpectedOverlap()(SCORES, None).tolist() == pytest.approx([1.0, 0.5, 0.0])


def test_logistic_of_entropy_and_mass():
    mass = torch.tensor([[[0.9, 0.7, 0, 0, 0]], [[0, 0, 0.5, 0.1, 0]], [[0, 0, 0.5, 0.9, 0]]])
    entropy = 0.5 * math.log(2) + 2 * 0.25 * math.log(4)
    want = [1 / (1 + math.exp(-(3 * 0.8 - 1))), 1 / (1 + math.exp(-(3 * 0.3 - 2 * entropy - 1))), 0.0]
    assert Logistic(-2.0, 3.0, -1.0)(SCORES, mass).tolist() == pytest.approx(want)


def test_mass_that_is_weighed_but_not_kept_is_an_error():
    with pytest.raises(ConfigError, match=r"model\.affinity_mass=true"):
        Logistic(-2.0, 3.0, -1.0)(SCORES, None)
    assert Logistic(-2.0, 0.0, 1.0)(SCORES, None).shape == (3,)


def demo(**options):
    torch.manual_seed(0)
    return instantiate_model(
        compose(["model=demo", "model.key_dim=8", *(f"model.{k}={v}" for k, v in options.items())]).model
    )


def run(model, video, engine=None):
    predictor = Predictor(model, "cpu", engine=engine)
    predictor.add_object(video.labels[0].numpy() == 1, id=4)
    found = []
    for t in range(len(video)):
        if t == 3:
            predictor.add_object(video.labels[3].numpy() == 2, id=9)
        found += predictor.step(video.frame(t).permute(1, 2, 0).numpy())
    return found


def test_affinity_mass_changes_no_mask_and_is_a_share():
    video = ToyVideo(frames=6, objects=2, size=(48, 70))
    plain, kept = run(demo(), video), run(demo(affinity_mass="true"), video)
    for one, two in zip(plain, kept, strict=True):
        torch.testing.assert_close(one.scores, two.scores)
        assert np.array_equal(one.labels, two.labels)
        assert one.mass is None
    assert kept[0].mass is None
    for prediction in kept[1:]:
        assert prediction.mass.shape == (len(prediction.ids), 48, 70)
        assert prediction.mass.min() >= -1e-5 and prediction.mass.max() <= 1 + 1e-5
    assert (kept[3].mass[1] == 1).all()  # object 9 was given


def test_a_pixel_that_reads_from_one_object_alone_has_its_mass():
    """Every memory cell belongs to the object: whatever is read, its share is one."""
    video = ToyVideo(frames=2, objects=1, size=(32, 48))
    predictor = Predictor(demo(affinity_mass="true"), "cpu")
    predictor.add_object(np.ones((32, 48), bool), id=1)
    predictor.step(video.frame(0).permute(1, 2, 0).numpy())
    prediction = predictor.step(video.frame(1).permute(1, 2, 0).numpy())[0]
    torch.testing.assert_close(prediction.mass, torch.ones(1, 32, 48))


def test_given_masks_are_certain():
    found = run(
        demo(affinity_mass="true"),
        ToyVideo(frames=5, objects=2, size=(48, 64)),
        Engine(confidence=Logistic(-1.0, 5.0, -1.0)),
    )
    assert found[0].confidence == {4: 1.0}
    assert found[3].confidence[9] == 1.0 and 0 <= found[3].confidence[4] < 1
    assert found[0].given == {4} and found[3].given == {9} and found[4].given == frozenset()


def test_fitting_finds_the_weights():
    generator = torch.Generator().manual_seed(0)
    entropy, mass = torch.rand(2, 500, generator=generator, dtype=torch.float64)
    j = torch.sigmoid(-2 * entropy + 4 * mass - 1)
    rule = fit([Case(0.0, *row) for row in torch.stack([entropy, mass, j], 1).tolist()])
    assert (rule.entropy, rule.mass, rule.bias) == pytest.approx((-2, 4, -1), abs=0.02)


def test_nothing_to_fit_to_is_an_error():
    with pytest.raises(DatasetError, match="no predicted mask"):
        fit([])
    with pytest.raises(DatasetError, match="at least 2"):
        report([])


def test_cases_and_their_report():
    """J, by hand, of what the predictor returns."""
    videos = SyntheticDataset("test", 2, 6, (48, 64), (2, 2), 0, late=0.5)
    model = load()
    cases = list(collect(model, videos, "cpu"))
    assert cases and all(0 <= case.j <= 1 and 0 <= case.mass <= 1.001 and case.entropy >= 0 for case in cases)
    predictor, wanted = Predictor(model, "cpu"), []
    video = videos.video(0)
    for t in range(6):
        if t in video.given:
            predictor.add_object(
                video.id_map(t).numpy() * np.isin(video.id_map(t), [video.ids[s] for s in video.given[t]])
            )
        for prediction in predictor.step(video.frame(t)):
            for id_ in prediction.ids:
                area, truth = prediction.labels == id_, video.id_map(t).numpy() == id_
                if id_ not in prediction.given and area.any():
                    wanted.append((area & truth).sum() / (area | truth).sum())
    assert [case.j for case in cases[: len(wanted)]] == pytest.approx(wanted)
    text = report([Case(0.1, 0, 0, 0.2), Case(0.9, 0, 0, 0.8), Case(0.95, 0, 0, 0.9)])
    assert "3 masks: Pearson 0.99" in text and "0.0 to 0.2          1            0.100   0.200" in text


def test_a_calibrated_engine_is_a_configuration():
    config = compose(
        ["engine/confidence=logistic", *(f"engine.confidence.{name}=1.5" for name in ("entropy", "mass", "bias"))]
    )
    assert vars(instantiate_engine(config.engine).confidence) == {"entropy": 1.5, "mass": 1.5, "bias": 1.5}
