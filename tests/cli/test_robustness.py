import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from layouts import make_davis, make_youtube
from omegaconf import OmegaConf
from PIL import Image
from runs import DATA, QUIET, ROOT

from vosfw.cli.evaluate import main
from vosfw.cli.robustness import DONE
from vosfw.cli.stored import with_checkpoint
from vosfw.cli.tests import changed, check_tests
from vosfw.config import compose
from vosfw.data.davis import DavisDataset
from vosfw.data.youtube_vos import YouTubeVOSDataset
from vosfw.errors import ConfigError
from vosfw.hub import EMBEDDED

PLAIN = ["experiment=robustness", *QUIET, "robustness.samples=200"]
OPTIONS = [*PLAIN, "model=copy_first", *DATA]
RUN = [*PLAIN, "engine.short_side=64", *DATA]
SETS = {"clean", "noise_10", "noise_30", "points_1k", "points_5k", "blur_7", "blur_9"}


def results(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert main([*RUN, f"run_dir={folder}"]) == 0
    return folder


def test_table_files_and_plot(whole):
    found = json.loads((whole / "robustness.json").read_text())
    scores = {path.name: results(path)["j_and_f"] for path in (whole / "tests").iterdir()}
    assert set(scores) == SETS and len(set(scores.values())) > 4
    perturbed = [value for name, value in scores.items() if name != "clean"]
    assert found["q_c"]["value"] == pytest.approx(scores["clean"])
    assert found["q_p"]["value"] == pytest.approx(sum(perturbed) / 6)
    assert found["r_p"]["value"] == pytest.approx(scores["clean"] - sum(perturbed) / 6)
    assert found["sets"]["blur_9"]["j_and_f"]["value"] == pytest.approx(scores["blur_9"])
    assert found["perturbations"]["blur_9"]["kernel"][found["perturbations"]["blur_9"]["severity"] - 1] == 9
    with (whole / "robustness.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 8
    assert "R_p" in (whole / "robustness.md").read_text()
    assert min(Image.open(whole / "robustness.png").size) > 300
    assert len(list((whole / "tests" / "noise_30" / "masks").glob("*/*.png"))) == 18


def test_a_set_alone_is_the_same(whole, tmp_path):
    options = ["engine.short_side=64", *DATA, *QUIET, f"run_dir={tmp_path}"]
    assert main([*options, "data/perturbation=gaussian_noise", "data.perturbation.severity=4"]) == 0
    assert results(tmp_path)["sequences"] == results(whole / "tests" / "noise_30")["sequences"]


def test_killed_and_resumed(whole, tmp_path):
    """SIGKILL once two sets are done: those are not evaluated again, and the figures are those of one run."""
    options = [*RUN, f"run_dir={tmp_path}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"}
    process = subprocess.Popen([sys.executable, str(ROOT / "evaluate.py"), *options], env=environment, cwd=ROOT)
    until = time.monotonic() + 240
    while not (tmp_path / "tests" / "noise_10" / DONE).is_file():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "robustness.json").exists()
    written = {name: (tmp_path / "tests" / name / "results.json").stat().st_mtime_ns for name in ("clean", "noise_10")}
    assert main(options) == 0
    assert written == {name: (tmp_path / "tests" / name / "results.json").stat().st_mtime_ns for name in written}
    for name in ("robustness.csv", "robustness.md"):
        assert (tmp_path / name).read_text() == (whole / name).read_text()


def test_a_finished_benchmark_takes_more_sets_but_no_other_network(tmp_path, capsys):
    few = [*OPTIONS, f"run_dir={tmp_path}", *(f"robustness.sets.{name}=null" for name in SETS - {"clean", "blur_7"})]
    assert main(few) == 0
    before = (tmp_path / "tests" / "clean" / "results.json").stat().st_mtime_ns
    assert main([*few, "+robustness.sets.more={name: rain, severity: 5}"]) == 0
    assert set(json.loads((tmp_path / "robustness.json").read_text())["sets"]) == {"blur_7", "more"}
    assert "frame/s" in capsys.readouterr().err, "progress with a rate"
    assert (tmp_path / "tests" / "clean" / "results.json").stat().st_mtime_ns == before
    assert main([*few, "engine.short_side=24"]) == 1
    assert "holds an evaluation with other engine" in capsys.readouterr().err
    assert main([*few, "engine.short_side=24", "resume=false", "quiet=true"]) == 0
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "tests" / "clean" / "results.json").stat().st_mtime_ns > before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["+robustness.sets.x=gausian_noise"],
            "robustness.sets.x: data/perturbation=gausian_noise: no such choice; did",
        ),
        (["+robustness.sets.x={name: fog, severity: 99}"], "severity is 99; wanted 1 to 5"),
        (["+robustness.sets.x={name: fog, densty: 0.5}"], "fog has no option densty"),
        (["+robustness.sets.clean=fog"], "other than clean"),
        ([f"robustness.sets.{name}=null" for name in sorted(SETS - {"clean"})], "robustness.sets is empty"),
        (["data/perturbation=fog"], "are both set"),
        (["robustness.format=bmp", "robustness.write={tmp}/out"], "wanted png or jpg"),
        (["robustness.write={tmp}/full"], "holds something else"),
        (["robustness.write={tmp}/file/out"], "is no folder"),
        (["data=davis", "data.root={tmp}/nowhere"], "No folder"),
    ],
)
def test_refused_before_work_starts(options, message, tmp_path, capsys):
    (tmp_path / "full" / "noise_10").mkdir(parents=True)
    (tmp_path / "full" / "noise_10" / "mine.png").write_text("")
    (tmp_path / "file").write_text("")
    options = [option.replace("{tmp}", str(tmp_path)) for option in options]
    base = [*PLAIN, "model=copy_first"] if "data=davis" in options else OPTIONS
    assert main([*base, *options, f"run_dir={tmp_path}/run"]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "tests").exists()


def test_written_sets_read_back(tmp_path, capsys):
    root = make_davis(tmp_path / "davis")
    options = ["experiment=robustness", "data=davis", f"data.root={root}", *QUIET, f"run_dir={tmp_path}/run"]
    assert main([*options, f"robustness.write={tmp_path}/out"]) == 0
    assert str(tmp_path / "out" / "points_5k") in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == SETS - {"clean"}
    assert not torch.equal(
        DavisDataset(tmp_path / "out" / "noise_30").video(0).frame(1), DavisDataset(root).video(0).frame(1)
    )
    scores = []
    for data, extra in ((tmp_path / "out" / "noise_30", []), (root, ["data/perturbation=gaussian_noise"])):
        extra += ["data.perturbation.severity=4"] if extra else []
        run = tmp_path / f"run{len(scores)}"
        assert main(["engine.short_side=64", "data=davis", f"data.root={data}", *QUIET, *extra, f"run_dir={run}"]) == 0
        scores.append(results(run)["sequences"])
    assert scores[0] == scores[1]


def test_without_truth_the_masks_are_left_for_a_server(tmp_path, caplog):
    root = make_youtube(tmp_path / "data")
    assert YouTubeVOSDataset(root).video(0).annotated == (0, 2)
    (root / "valid" / "Annotations" / "b" / "00010.png").unlink()
    options = ["experiment=robustness", "model=copy_first", "data=youtube_vos", f"data.root={root}", *QUIET, "zip=true"]
    with caplog.at_level("INFO"):
        assert main([*options, "metrics=youtube", f"run_dir={tmp_path}/run"]) == 0
    assert (tmp_path / "run" / "tests" / "blur_9" / "masks.zip").is_file()
    assert not (tmp_path / "run" / "robustness.json").exists()


def test_without_a_model_it_is_the_embedded_networks():
    assert f"ckpt_path='{EMBEDDED}'" in with_checkpoint(["experiment=robustness"])
    assert with_checkpoint(["experiment=stcn_davis17"]) == ["experiment=stcn_davis17"]
    assert with_checkpoint(["experiment=robustness", "model=demo"]) == ["experiment=robustness", "model=demo"]
    assert with_checkpoint(["experiment=nowhere"]) == ["experiment=nowhere"]


def test_tests_of_a_training_take_a_perturbation_by_name():
    config = compose(
        [
            "+tests.noise.data.perturbation={name: gaussian_noise, severity: 4}",
            "+tests.box.data={perturbation: mask_box}",
        ]
    )
    check_tests(config, 1)
    noisy = changed("data", config.data, config.tests.noise.data)
    assert noisy.perturbation._target_.endswith("GaussianNoise") and noisy.perturbation.severity == 4
    assert config.data.perturbation._target_.endswith("NoPerturbation")
    assert changed("data", config.data, config.tests.box.data).perturbation._target_.endswith("BoxMask")
    flipped = changed("engine", config.engine, OmegaConf.create({"augment": "flip", "short_side": 64}))
    assert flipped.augment.flip and flipped.short_side == 64
    for wrong in ("gausian_noise", "{name: gaussian_noise, severity: 99}", "{name: fog, densty: 1}"):
        with pytest.raises(ConfigError):
            check_tests(compose([f"+tests.noise.data.perturbation={wrong}"]), 1)
