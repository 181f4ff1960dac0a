import csv
import io
import json

import numpy as np
import pytest
import torch

from vosfw.errors import ConfigError, DatasetError
from vosfw.metrics import JAndF
from vosfw.metrics.robustness import ObjectScore, object_scores, robustness

CLEAN = {"a": [ObjectScore(0.9), ObjectScore(0.7)], "b": [ObjectScore(0.5)]}
NOISE = {"a": [ObjectScore(0.8), ObjectScore(0.6)], "b": [ObjectScore(0.4)]}
BLUR = {"a": [ObjectScore(0.9), ObjectScore(0.6)], "b": [ObjectScore(0.0)]}


def test_equations_9_and_10_by_hand():
    found = robustness(CLEAN, {"noise": NOISE, "blur": BLUR})
    assert found.clean.value == pytest.approx(0.7)
    assert found.perturbed["noise"].value == pytest.approx(0.6) and found.perturbed["blur"].value == pytest.approx(0.5)
    assert found.mean.value == pytest.approx(0.55)
    assert found.loss.value == pytest.approx(0.15)
    assert found.drops["blur"].value == pytest.approx(0.2) and found.sequences == 2


def test_samples_are_of_sequences_and_paired():
    """Of two sequences a sample holds a twice, b twice, or both; every object loses 0.1 to noise, in any sample."""
    found = robustness(CLEAN, {"noise": NOISE, "blur": BLUR}, samples=2000)
    assert found.clean[1:] == pytest.approx((0.5, 0.8))
    assert found.drops["noise"] == pytest.approx((0.1, 0.1, 0.1))
    assert found.drops["blur"][1:] == pytest.approx((0.05, 0.5))
    middle = robustness(CLEAN, {"blur": BLUR}, samples=20000, level=0.4).clean
    assert middle[1:] == pytest.approx((0.7, 0.7)), "half of the samples hold both"


def test_against_a_plain_bootstrap():
    draw = np.random.default_rng(3)
    names = [f"v{i}" for i in range(25)]
    clean = {name: [ObjectScore(float(s)) for s in draw.uniform(0.5, 1, draw.integers(1, 4))] for name in names}
    noisy = {name: [ObjectScore(o.score * float(draw.uniform(0.7, 1))) for o in clean[name]] for name in names}
    losses = []
    for _ in range(4000):
        chosen = [names[i] for i in draw.integers(25, size=25)]
        one, two = (np.mean([o.score for name in chosen for o in scores[name]]) for scores in (clean, noisy))
        losses.append(one - two)
    found = robustness(clean, {"noise": noisy}, samples=4000).loss
    np.testing.assert_allclose(found[1:], np.quantile(losses, (0.025, 0.975)), atol=0.003)
    assert robustness(clean, {"noise": noisy}) == robustness(dict(reversed(clean.items())), {"noise": noisy})


def test_youtube_vos_means_the_groups():
    clean = {"a": [ObjectScore(0.9, "seen"), ObjectScore(0.8, "seen")], "b": [ObjectScore(0.3, "unseen")]}
    found = robustness(clean, {"same": clean}, protocol="youtube", samples=500)
    assert found.clean.value == pytest.approx((0.85 + 0.3) / 2) and found.loss == (0, 0, 0)
    assert found.clean[1:] == pytest.approx((0.3, 0.85)), "samples of one group"
    assert robustness(clean, {"same": clean}).clean.value == pytest.approx(2 / 3)


def test_objects_out_of_results():
    metric = JAndF("youtube")
    pred = torch.zeros(4, 20, 20, dtype=torch.uint8)
    pred[:, 2:9, 2:9], pred[:, 12:18, 12:18] = 1, 2
    truth = pred.roll(1, 2)
    metric.update(pred, truth, video="v", ids=(3, 8), groups=("seen", "unseen"))
    result = metric.compute()
    scores = object_scores(json.loads(json.dumps(result.to_json())))
    assert [found.group for found in scores["v"]] == ["seen", "unseen"]
    assert robustness(scores, {"x": scores}, protocol="youtube").clean.value == pytest.approx(result.j_and_f)


def test_what_cannot_be_compared():
    with pytest.raises(DatasetError, match="No sequence was scored"):
        robustness({}, {"noise": {}})
    with pytest.raises(DatasetError, match="'noise' was scored on other objects"):
        robustness(CLEAN, {"noise": {"a": NOISE["a"]}})
    for options in ({"samples": 0}, {"level": 1.0}):
        with pytest.raises(ConfigError):
            robustness(CLEAN, {"noise": NOISE}, **options)
    with pytest.raises(ConfigError, match="0 perturbed sets"):
        robustness(CLEAN, {})


def test_table_and_csv():
    found = robustness(CLEAN, {"noise": NOISE, "blur": BLUR})
    text = found.to_text()
    assert "Q_c 70.00, Q_p 55.00, R_p 15.00" in text and "| blur | 50.00 |" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["set"] for row in rows] == ["clean", "noise", "blur", "mean of the perturbed"]
    assert float(rows[2]["loss"]) == found.drops["blur"].value and rows[0]["loss"] == ""
