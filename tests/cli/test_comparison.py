"""Tables of runs that the tests write themselves, with scores worked by hand."""

import csv
import json
import os
import shutil
import statistics
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import bootstrap

from vosfw.cli.formats import escaped
from vosfw.cli.launch import launch
from vosfw.cli.main import main as vosfw
from vosfw.errors import DatasetError
from vosfw.metrics.bootstrap import ObjectScore, paired_difference

VIDEOS = [f"v{i:02}" for i in range(12)]
LOW = {name: 0.3 + 0.02 * i for i, name in enumerate(VIDEOS)}
HIGH = {name: score + 0.1 + 0.01 * (-1) ** i for i, (name, score) in enumerate(LOW.items())}


def results(scores, parameters=1000):
    sequences = {
        name: {"objects": {"1": {"j_and_f": s, "j": s - 0.1, "f": s + 0.1}}, "frames": ["00001"]}
        for name, s in scores.items()
    }
    mean = statistics.fmean(scores.values())
    figures = {"j_and_f": mean, "j": mean - 0.1, "f": mean + 0.1, "fps": 10.0, "parameters": parameters}
    return {**figures, "peak_cpu_memory_mib": 100.0, "protocol": "davis17", "sequences": sequences}


def make(folder, matcher, seed, scores=None, *, error=None, overrides=(), mode="RUN", segment=4, **options):
    """A run's folder as train.py or evaluate.py leaves it; without scores it did not finish."""
    config = {"seed": seed, "run_dir": str(folder), "tests": {}, "now": "${now:%Y}", **options}
    config["model"] = {"memory": {"segment": segment}, "matcher": {"_target_": "a.b.Matcher"}}
    overrides = [f"model/matcher={matcher}", f"seed={seed}", *overrides]
    hydra = {"hydra": {"mode": mode, "runtime": {"choices": {"model/matcher": matcher, "loss": "cycle"}}}}
    (folder / ".hydra").mkdir(parents=True)
    for name, content in (("config", config), ("overrides", overrides), ("hydra", hydra)):
        (folder / f".hydra/{name}.yaml").write_text(yaml.safe_dump(content))
    if scores is not None:
        (folder / "results.json").write_text(json.dumps(results(scores)))
        (folder / "finished.json").write_text(json.dumps({"overrides": overrides, "value": None}))
    if error:
        (folder / "failed.json").write_text(json.dumps({"overrides": overrides, "error": error}))


def shifted(scores, by):
    return {name: score + by for name, score in scores.items()}


@pytest.fixture
def six(tmp_path):
    """Two matchers with three seeds each."""
    for seed, step in enumerate((-0.01, 0.0, 0.01)):
        make(tmp_path / f"runs/pixel{seed}", "pixel", seed, shifted(LOW, step))
        make(tmp_path / f"runs/proxy_&{seed}", "proxy_&", seed, shifted(HIGH, step))
    return tmp_path / "runs"


def table(folder, *options):
    out = folder.parent / "out"
    code = vosfw(["table", str(folder), "--by", "model/matcher", "--out", str(out), *options])
    with (out / "table.csv").open() as file:
        return code, list(csv.DictReader(file)), (out / "table.md").read_text(), (out / "table.tex").read_text()


def test_means_deviations_and_differences_are_as_worked_by_hand(six):
    code, (one, two), text, _ = table(six, "--seeds")
    assert code == 0
    mean = statistics.fmean(LOW.values())
    assert float(one["J&F"]) == pytest.approx(mean) and float(two["J&F"]) == pytest.approx(mean + 0.1)
    assert float(one["J&F std"]) == pytest.approx(0.01)  # of -0.01, 0, 0.01
    assert (one["n"], one["missing"], one["p"], one["difference"]) == ("3", "0", "", "")
    assert float(two["difference"]) == pytest.approx(0.1)
    assert 0.09 < float(two["low"]) < 0.1 < float(two["high"]) < 0.11 and float(two["p"]) < 0.001
    assert (two["parameters"], two["fps"], two["memory_mib"]) == ("1000.0", "10.0", "100.0")
    assert "| pixel | 3 | 41.0 ± 1.0 | 31.0 ± 1.0 | 51.0 ± 1.0 |  |  |  | 1,000 | 10.0 | 100 |" in text
    assert "| proxy_& | 3 | 51.0 ± 1.0 |" in text and "| +10.0 | +9.5 to +10.5 | < 0.001 |" in text
    assert not text.rstrip().splitlines()[-1].startswith("- ")


def test_the_interval_is_that_of_scipy():
    rng = np.random.default_rng(3)
    ours, theirs = rng.random((2, 15))
    found = paired_difference(*({str(i): [ObjectScore(float(s))] for i, s in enumerate(x)} for x in (ours, theirs)))
    wanted = bootstrap((ours - theirs,), np.mean, method="percentile", n_resamples=20_000, rng=0)
    assert found.estimate.value == pytest.approx(np.mean(ours - theirs))
    assert found.estimate[1:] == pytest.approx(wanted.confidence_interval, abs=0.01)
    tail = min((wanted.bootstrap_distribution <= 0).mean(), (wanted.bootstrap_distribution >= 0).mean())
    assert found.p == pytest.approx(2 * tail, abs=0.02)


def test_videos_with_more_objects_weigh_more():
    """As in the figure that is tabulated, the mean over objects."""
    ours = {"a": [ObjectScore(0.9), ObjectScore(0.7)], "b": [ObjectScore(0.2)]}
    theirs = {"a": [ObjectScore(0.5), ObjectScore(0.5)], "b": [ObjectScore(0.3)]}
    found = paired_difference(ours, theirs)
    assert found.estimate.value == pytest.approx((0.4 + 0.2 - 0.1) / 3)
    # A sample is aa, ab or bb: of two videos the interval reaches from one to the other.
    assert (found.estimate.low, found.estimate.high) == pytest.approx((-0.1, 0.3))
    assert found.p == pytest.approx(2 * 0.25, abs=0.05)  # bb alone is not better


def test_the_same_runs_do_not_differ(tmp_path):
    for seed in (0, 1):
        make(tmp_path / f"runs/a{seed}", "a", seed, LOW)
        make(tmp_path / f"runs/b{seed}", "b", seed, LOW)
    _, (_, two), _, _ = table(tmp_path / "runs")
    assert [float(two[key]) for key in ("difference", "low", "high", "p")] == [0, 0, 0, 1]


def test_baseline_metric_and_sort(six, capsys):
    _, (one, two), text, _ = table(six, "--baseline", "proxy_&", "--metric", "f,j", "--sort", "f")
    assert [one["model/matcher"], two["model/matcher"]] == ["proxy_&", "pixel"]
    assert float(two["difference"]) == pytest.approx(-0.1) and one["difference"] == ""
    assert text.startswith("| model/matcher | n | F | J | Δ F |")
    for option, message in (("--baseline", "no such row; there are pixel; proxy_&"), ("--metric", "there are j_and_f")):
        assert vosfw(["table", str(six), "--by", "model/matcher", option, "x"]) == 1
        assert message in capsys.readouterr().err


def test_options_come_from_the_configuration_and_parts_by_their_choice(six):
    make(six / "late", "pixel", 0, LOW, segment=8)
    _, found, _, _ = table(six, "--by", "model.memory.segment,model.matcher")
    assert [(row["model.memory.segment"], row["model.matcher"]) for row in found] == [
        ("8", "pixel"),
        ("4", "pixel"),
        ("4", "proxy_&"),
    ]


def test_what_is_missing_is_named(six):
    shutil.rmtree(six / "proxy_&2")
    (six / "pixel1/results.json").unlink()
    (six / "pixel1/finished.json").unlink()
    make(six / "z0", "z", 0, LOW)
    make(six / "z1", "z", 1, error="ConfigError: no such thing")
    make(six / "y0", "y", 0)
    _, found, text, tex = table(six, "--seeds")
    assert {row["model/matcher"]: (row["n"], row["missing"]) for row in found} == {
        "pixel": ("2", "1"),
        "proxy_&": ("2", "1"),
        "y": ("0", "3"),
        "z": ("1", "2"),
    }
    assert "- pixel: seed 1 missing: not finished\n" in text
    assert "| proxy_& | 2 of 3 |" in text and "- proxy_&: seed 2 missing: no run; compared by seeds 0" in text
    assert "- y: seed 0 missing: not finished; seeds 1, 2 missing: no run\n" in text
    assert "seed 1 missing: failed: ConfigError: no such thing" in text and "1 missing: failed" in tex


def test_seeds_that_are_asked_for(six):
    _, found, text, _ = table(six, "--seeds", "0,2,5")
    assert [(row["n"], row["missing"]) for row in found] == [("2", "1")] * 2
    assert "- pixel: seed 5 missing: no run\n" in text


def test_jobs_of_a_sweep_that_were_not_started_are_named(tmp_path):
    sweep = tmp_path / "runs"
    task = {"overrides": {"task": ["model/matcher=a,b", "+x=1"]}, "sweeper": {"params": {"seed": "0,1"}}}
    for i, (matcher, scores) in enumerate((("a", LOW), ("b", None))):
        make(sweep / str(i), matcher, 0, scores, overrides=["+x=1"], mode="RunMode.MULTIRUN")
    (sweep / "multirun.yaml").write_text(yaml.safe_dump({"hydra": task}))
    _, found, text, _ = table(sweep)
    assert [(row["model/matcher"], row["n"], row["missing"]) for row in found] == [("a", "1", "1"), ("b", "0", "2")]
    assert "- a: seed 1 missing: not started\n" in text
    assert "- b: seed 0 missing: not finished; seed 1 missing: not started\n" in text


def test_other_videos_are_not_compared(six, capsys):
    make(six / "zother", "other", 0, {name: 0.9 for name in VIDEOS[:11]})
    _, found, text, _ = table(six)
    assert {row["model/matcher"]: row["p"] == "" for row in found}["other"]
    assert "not compared: scored on other videos (11 and 12; only in one: v11)" in text
    make(six / "pixel7", "pixel", 7, {name: 0.9 for name in VIDEOS[:11]})
    assert vosfw(["table", str(six), "--by", "model/matcher"]) == 1
    assert "pixel7 were scored on different videos (12 and 11; only in one: v11)" in capsys.readouterr().err


def test_of_two_equal_runs_the_newest_counts_and_others_are_refused(six, capsys):
    make(six / "again", "pixel", 0, shifted(LOW, 0.2))
    os.utime(six / "again/results.json", (4e9, 4e9))
    _, found, text, _ = table(six)
    assert "- pixel: seed 0: of 2 runs the newest, " in text and found[0]["n"] == "3"
    assert float(found[0]["J&F"]) == pytest.approx(statistics.fmean(LOW.values()) + (0.2 + 0 + 0.01) / 3)
    make(six / "otherwise", "pixel", 0, LOW, segment=8)
    assert vosfw(["table", str(six), "--by", "model/matcher"]) == 1
    assert "row pixel, seed 0" in (error := capsys.readouterr().err) and "differ in model.memory.segment" in error


def test_an_evaluation_has_seed_and_options_of_its_training(tmp_path):
    for seed in (3, 4):
        make(tmp_path / f"runs/training{seed}", "pixel", seed, overrides=["+x=1"])
        (tmp_path / f"runs/training{seed}/finished.json").write_text('{"overrides": [], "value": null}')
        checkpoint = tmp_path / f"runs/training{seed}/checkpoints/last.ckpt"
        folder = tmp_path / f"runs/evaluation{seed}"
        make(folder, "checkpoint", 0, LOW, ckpt_path=str(checkpoint))
        (folder / ".hydra/overrides.yaml").write_text(yaml.safe_dump([f"ckpt_path={checkpoint}"]))
    _, found, _, _ = table(tmp_path / "runs")
    assert [(row["model/matcher"], row["n"], row["missing"]) for row in found] == [("pixel", "2", "0")]


def test_latex_is_escaped_and_uses_booktabs(six):
    *_, tex = table(six)
    assert tex.startswith("\\begin{tabular}{lrrrrrrrrrr}\n\\toprule\nmodel/matcher & n & J\\&F & J & F &")
    assert "proxy\\_\\& & 3 & 51.0 $\\pm$ 1.0 &" in tex and "95 \\% interval" in tex
    assert escaped(r"a_b^{~}\#$%") == (r"a\_b\textasciicircum{}\{\textasciitilde{}\}\textbackslash{}\#\$\%")
    if shutil.which("pdflatex"):
        page = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}" + tex + "\\end{document}"
        assert subprocess.run(["pdflatex"], input=page, text=True, cwd=six, capture_output=True).returncode == 0


def test_a_project_that_cannot_be_reached_says_what_to_do(tmp_path, capsys, monkeypatch):
    import wandb

    def unreachable(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(wandb, "Api", unreachable)
    assert vosfw(["table", "wandb:me/vos", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "cannot read the W&B project 'me/vos': no network" in error and "wandb login" in error
    assert vosfw(["table", "wandb:me/vos"]) == 1 and "--out" in capsys.readouterr().err


def test_a_failed_job_is_named_the_others_go_on_and_the_same_command_tries_it_again(tmp_path, capsys):
    broken, calls = True, []

    def task(config):
        calls.append(config.seed)
        if config.seed == 1 and broken:
            raise DatasetError("no such video")
        (Path(config.run_dir) / "results.json").write_text(json.dumps(results(LOW)))
        return 0.5

    options = ["-m", "model=copy_first", "seed=0,1,2", f"hydra.sweep.dir={tmp_path}"]
    assert launch(task, "evaluate", options, __file__) == 1
    assert calls == [0, 1, 2]
    error = capsys.readouterr().err
    assert f"this run of the sweep failed: {tmp_path}/1 (" in error and "no such video" in error
    text = (tmp_path / "table.md").read_text()
    assert "| 2 of 3 |" in text and "seed 1 missing: failed: DatasetError: no such video" in text
    broken = False
    assert launch(task, "evaluate", options, __file__) == 0
    assert calls == [0, 1, 2, 1] and not (tmp_path / "1/failed.json").exists()
    assert "missing" not in (tmp_path / "table.md").read_text()
