"""Sweeps and runs as tables, and nothing is done twice."""

import csv
import json
import math

import pytest
from omegaconf import OmegaConf
from runs import EVALUATE, TRAIN

from vosfw.cli import sweep
from vosfw.cli.evaluate import main as evaluate
from vosfw.cli.main import main as vosfw
from vosfw.cli.train import main as train

SHORT = ["trainer.max_steps=1", "trainer.limit_val_batches=0", "~callbacks.best"]


def rows(folder):
    with (folder / "table.csv").open() as file:
        return list(csv.DictReader(file))


def scores(row):
    """Without what depends on the machine."""
    return {key: value for key, value in row.items() if key not in ("fps", "memory_mib")}


def test_a_sweep_over_seeds_leaves_one_table_and_goes_on_where_it_was_stopped(tmp_path, capsys):
    options = ["-m", *TRAIN, *SHORT, "data.test.videos=1", f"hydra.sweep.dir={tmp_path}"]
    options += ["+tests.every={}", "+tests.never.engine.policy.every=null", "optimizer=adam,sgd", "seed=0,1"]
    assert train(options) == 0
    found = rows(tmp_path)
    assert [(row["optimizer"], row["test"], row["n"]) for row in found] == [
        (optimizer, test, "2") for optimizer in ("adam", "sgd") for test in ("every", "never")
    ]
    first = [json.loads((tmp_path / str(i) / "tests/every/results.json").read_text())["j_and_f"] for i in (0, 1)]
    assert float(found[0]["J&F"]) == pytest.approx(sum(first) / 2)
    assert float(found[0]["J&F std"]) >= 0
    assert not (tmp_path / "0/tests/every/masks").exists()

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results.json")}
    (tmp_path / "3" / sweep.FINISHED).unlink()
    assert train(options) == 0
    again = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert {path.relative_to(tmp_path).parts[0] for path in again} == {"3"}
    assert [scores(row) for row in rows(tmp_path)] == [scores(row) for row in found]

    capsys.readouterr()
    assert vosfw(["table", str(tmp_path), "--by", "optimizer"]) == 0
    shown = capsys.readouterr().out
    assert "| optimizer | test | n | J&F |" in shown and "| adam | every | 2 | " in shown
    assert shown.startswith((tmp_path / "table.md").read_text())
    assert vosfw(["table", str(tmp_path), "--by", "nothing"]) == 1
    assert "--by nothing: in no run; overridden were model, " in capsys.readouterr().err


def test_a_run_with_other_options_is_another_run(tmp_path):
    config = OmegaConf.create({"run_dir": "a", "output_dir": "b", "optimizer": {"lr": 0.1}, "twice": "${optimizer.lr}"})
    sweep.finish(tmp_path, config, ["optimizer.lr=0.1"], math.nan)
    assert sweep.finished(tmp_path, config)["value"] is None
    assert sweep.finished(tmp_path, OmegaConf.merge(config, {"run_dir": "elsewhere"})) is not None
    assert sweep.finished(tmp_path, OmegaConf.merge(config, {"optimizer": {"lr": 0.2}})) is None
    assert sweep.finished(tmp_path / "another", config) is None


def test_a_sweep_of_evaluations_leaves_a_table(tmp_path):
    options = [*EVALUATE, "model=copy_first", "data.test.videos=1", "data.train.speed=0.5,2"]
    options += [f"hydra.sweep.dir={tmp_path}", "-m"]
    assert evaluate(options) == 0
    assert [row["data.train.speed"] for row in rows(tmp_path)] == ["0.5", "2"]
    assert all(0 < float(row["J&F"]) < 1 and row["J&F std"] == "" for row in rows(tmp_path))


def heads(folder):
    cells = (folder / "table.md").read_text().splitlines()[0].strip("| ").split(" | ")
    return cells[: cells.index("parameters")] if "parameters" in cells else cells


def test_the_robustness_benchmark_may_end_a_training(tmp_path):
    options = ["-m", *TRAIN, *SHORT, "data.test.videos=1", f"hydra.sweep.dir={tmp_path}", "seed=0,1", "+tests.plain={}"]
    options += ["+experiment@tests.perturbed=robustness", "tests.perturbed.robustness.samples=10"]
    options += [
        f"tests.perturbed.robustness.sets.{name}=null" for name in ("noise_10", "points_1k", "points_5k", "blur_9")
    ]
    assert train(options) == 0
    assert heads(tmp_path) == ["test", "n", "J&F", "J", "F", "Q_c", "noise_30", "blur_7", "Q_p", "R_p"]
    assert [(row["test"], row["n"], row["J&F"] == "", row["Q_p"] == "") for row in rows(tmp_path)] == [
        ("plain", "2", False, True),
        ("perturbed", "2", True, False),
    ]


def test_the_robustness_benchmark_in_a_sweep(tmp_path):
    """Copying the first mask sees no noise, but its being eroded."""
    options = ["-m", *EVALUATE, "experiment=robustness", "model=copy_first", "data.test.videos=1", "seed=0,1"]
    options += [f"hydra.sweep.dir={tmp_path}", "robustness.samples=10", "data.train.speed=0.5,2"]
    options += [f"robustness.sets.{name}=null" for name in ("noise_10", "points_1k", "points_5k", "blur_7", "blur_9")]
    options += ["+robustness.sets.eroded=mask_eroded"]
    assert evaluate(options) == 0
    assert heads(tmp_path) == ["data.train.speed", "n", "Q_c", "noise_30", "eroded", "Q_p", "R_p"]
    assert [row["n"] for row in rows(tmp_path)] == ["2", "2"]
    for row in rows(tmp_path):
        found = {name: float(row[name]) for name in ("Q_c", "noise_30", "eroded", "Q_p", "R_p")}
        assert 1 > found["Q_c"] == found["noise_30"] > found["eroded"] > 0
        assert found["Q_p"] == pytest.approx((found["noise_30"] + found["eroded"]) / 2)
        assert found["R_p"] == pytest.approx(found["Q_c"] - found["Q_p"])


def test_validation_is_tabulated_where_nothing_was_tested(tmp_path):
    options = [*TRAIN, "trainer.max_steps=1", "trainer.val_check_interval=1", f"hydra.sweep.dir={tmp_path}"]
    assert train([*options, "seed=3,4", "-m"]) == 0
    assert heads(tmp_path) == ["model", "n", "best validation J&F"]
    assert rows(tmp_path)[0]["n"] == "2"


def test_a_folder_without_runs_is_refused(tmp_path, capsys):
    assert vosfw(["table", str(tmp_path)]) == 1
    assert "No finished run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["+tests.a.trainer.devices=2"], "tests.a changes trainer"),
        (["+tests.a={}", "callbacks.last=null"], "callbacks.last"),
    ],
)
def test_impossible_tests_are_refused_before_training(tmp_path, capsys, options, message):
    assert train([*TRAIN, *options, f"run_dir={tmp_path}"]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "checkpoints").exists()
