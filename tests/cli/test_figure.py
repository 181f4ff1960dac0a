"""Tests of a sweep as a figure."""

import csv
import json

import pytest
from PIL import Image
from runs import EVALUATE, TRAIN

from vosfw.cli.evaluate import main as evaluate
from vosfw.cli.figure import draw
from vosfw.cli.train import main
from vosfw.config import compose
from vosfw.errors import ConfigError

OPTIONS = [
    *(item for item in TRAIN if not item.startswith("-")),
    "+tests={n_0: {}, n_1: {engine: {corrector: {name: gradient, steps: 1}}}, "
    "n_2: {engine: {corrector: {name: gradient, steps: 2, smooth: 0.75}}}}",
    "figure={x: engine.corrector.steps, y: [j_and_f, fps], lines: engine.corrector.smooth}",
]


def run(folder, name, **tests):
    for test, (j_and_f, fps) in tests.items():
        path = folder / name / "tests" / test / "results.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"j_and_f": j_and_f, "fps": fps}))
    (folder / name / "finished.json").write_text("{}")


def rows(folder):
    with (folder / "figure.csv").open() as file:
        return list(csv.DictReader(file))


def test_mean_and_deviation_by_line_and_place(tmp_path):
    config = compose(OPTIONS)
    draw(tmp_path, config)
    assert not (tmp_path / "figure.png").exists(), "no run is done"
    run(tmp_path, "0", n_0=(0.5, 10), n_1=(0.6, 8), n_2=(0.7, 4))
    run(tmp_path, "1", n_0=(0.3, 20), n_1=(0.4, 6))
    draw(tmp_path, config)
    found = [{key: float(value) for key, value in row.items() if value} for row in rows(tmp_path)]
    names = ("engine.corrector.smooth", "engine.corrector.steps", "n", "j_and_f", "fps")
    assert [[row[name] for name in names] for row in found] == [
        pytest.approx(row) for row in ([0, 0, 2, 0.4, 15], [0, 1, 2, 0.5, 7], [0.75, 2, 1, 0.7, 4])
    ]
    assert found[0]["std"] == pytest.approx(200**0.5 / 2)
    with Image.open(tmp_path / "figure.png") as picture:
        assert picture.width > 600 and len(picture.convert("L").getcolors(256)) > 20


def test_one_result_against_another(tmp_path):
    config = compose([*OPTIONS[:-1], "figure={x: fps, y: [j_and_f], along: engine.corrector.steps}"])
    run(tmp_path, "0", n_0=(0.5, 10), n_1=(0.6, 8))
    run(tmp_path, "1", n_0=(0.3, 20), n_1=(0.4, 6))
    draw(tmp_path, config)
    with (tmp_path / "figure.csv").open() as file:
        (head, *found) = csv.reader(file)
    assert head == ["line", "engine.corrector.steps", "n", "fps", "std", "j_and_f", "std"]
    assert [[float(row[i]) for i in (1, 2, 3, 5)] for row in found] == [
        pytest.approx(row) for row in ([0, 2, 15, 0.4], [1, 2, 7, 0.5])
    ]
    with Image.open(tmp_path / "figure.png") as picture:
        assert len(picture.convert("L").getcolors(256)) > 20
    with pytest.raises(ConfigError, match=r"engine\.corrector\.smoth.*, which no test sets"):
        draw(tmp_path, compose([*OPTIONS[:-1], "figure={x: fps, y: [j_and_f], along: engine.corrector.smoth}"]))


def test_a_sweep_of_evaluations_leaves_one_too(tmp_path):
    options = ["-m", *EVALUATE, "model=copy_first", "data.test.videos=1", f"hydra.sweep.dir={tmp_path}"]
    options += ["engine.clip_length=1,3", "figure={x: fps, y: [j_and_f], along: engine.clip_length}"]
    assert evaluate(options) == 0
    with (tmp_path / "figure.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [(row["engine.clip_length"], row["n"]) for row in found] == [("1.0", "1"), ("3.0", "1")]
    assert all(float(row["fps"]) > 0 and 0 < float(row["j_and_f"]) < 1 for row in found)
    assert (tmp_path / "figure.png").is_file()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("figure.x=engine.corrector.rate", "which no test sets"),
        ("figure.y=[j_and_f, speed]", "names speed, not in .*it has j_and_f, fps"),
        ("figure.lines=engine.corrector.name", "engine.corrector.name is set to 'gradient'; wanted an option whose"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, override, message):
    run(tmp_path, "0", n_1=(0.6, 8))
    with pytest.raises(ConfigError, match=message):
        draw(tmp_path, compose([*OPTIONS, override]))


def test_a_sweep_leaves_its_figure(tmp_path):
    options = ["-m", *TRAIN, "trainer.max_steps=1", "trainer.limit_val_batches=0", "~callbacks.best"]
    options += [
        "+tests={plain: {}, n_1: {engine: {corrector: {name: gradient, steps: 1}}}}",
        "seed=0,1",
        "data.test.videos=1",
    ]
    options += ["figure={x: engine.corrector.steps, y: [fps, j]}", f"hydra.sweep.dir={tmp_path}"]
    assert main(options) == 0
    assert [(row["engine.corrector.steps"], row["n"]) for row in rows(tmp_path)] == [("0.0", "2"), ("1.0", "2")]
    assert (tmp_path / "figure.png").is_file()
