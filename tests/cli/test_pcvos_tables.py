"""PCVOS's tables and figure in small: which network is trained for what, and that the length of clips is tested."""

import csv

import pytest
import torch
from omegaconf import OmegaConf
from runs import DATA, QUIET

from vosfw.cli.reuse import kept
from vosfw.cli.train import main
from vosfw.config import choices, compose, config_dir

SHORT = [*DATA, *QUIET, "data.test.videos=1", "data.augment.crop=[32,48]", "data.augment.short_side=null"]
SHORT += ["data.train.length=12", "data.test.length=12", "trainer.max_steps=1", "seed=0"]
ROWS = choices("experiment/pcvos_table1")
TRAININGS = choices("experiment/pcvos/training")


def table(folder):
    with (folder / "table.csv").open() as file:
        return list(csv.DictReader(file))


def row(name):
    return compose(["experiment=pcvos_table1", f"experiment/pcvos_table1={name}", "run_dir=x"])


def test_sweeps_name_every_row():
    one, two = (swept(f"pcvos_table{n}") for n in (1, 2))
    assert sorted(one["experiment/pcvos_table1"].split(",")) == ROWS
    assert sorted(two["experiment/pcvos/training"].split(",")) == TRAININGS


def swept(name):
    return OmegaConf.load(config_dir() / "experiment" / f"{name}.yaml").hydra.sweeper.params


def test_rows_of_table_1_add_one_part_after_the_other():
    found = {}
    for name in ROWS:
        config = row(name)
        tests = {test: changes for test, changes in config.tests.items() if changes is not None}
        assert [changes.engine.clip_length for changes in tests.values()] == [5, 10, 15, 25]
        segments = {
            changes.model.memory.segment if "model" in changes else config.model.memory.segment
            for changes in tests.values()
        }
        found[name] = (segments, config.train_engine.clip_length, config.model.refiner._target_.split(".")[-2])
    assert found == {
        "stcn": ({None}, 1, "none"),
        "progressive": ({5}, 1, "none"),
        "per_clip": ({5}, 3, "none"),
        "full": ({5}, 3, "intra_clip"),
    }


def test_networks_are_trained_once():
    places = {name: kept(row(name)) for name in ROWS}
    assert places["stcn"] == places["progressive"] and len(set(places.values())) == 3
    table2 = compose(["experiment=pcvos_table2", "experiment/pcvos/training=full", "run_dir=x"])
    assert kept(table2) == places["full"] == kept(compose(["experiment=pcvos_figure1", "run_dir=x"]))


@pytest.mark.parametrize("name", TRAININGS)
def test_trainings_of_table_2(name):
    config = compose(["experiment=pcvos_table2", f"experiment/pcvos/training={name}", "run_dir=x"])
    frames = 1 + config.data.sampler.clip_length * config.data.sampler.clips
    found = frames, config.train_engine.clip_length, config.loss.clip_length, config.loss.weight
    assert (
        found
        == {
            "frames_3": (3, 1, None, 0),
            "frames_7": (7, 1, 3, 1),
            "clips_2": (5, 2, None, 1),
            "clips_4": (9, 4, None, 1),
            "no_clip_loss": (7, 3, None, 0),
            "full": (7, 3, None, 1),
        }[name]
    )


def test_table_1_runs(tmp_path):
    rows = "experiment/pcvos_table1=stcn,progressive,full"
    assert main(["-m", "experiment=pcvos_table1", rows, *SHORT, f"output_dir={tmp_path}"]) == 0
    found = {(line["experiment/pcvos_table1"], line["test"]) for line in table(tmp_path / "pcvos_table1")}
    assert found == {(name, f"l{n:02}") for name in ("stcn", "progressive", "full") for n in (5, 10, 15, 25)}
    first, second, third = (tmp_path / f"pcvos_table1/{i}/checkpoints/last.ckpt" for i in range(3))
    assert len(list((tmp_path / "pcvos_trainings").glob("*/last.ckpt"))) == 2
    one, same, other = (torch.load(path, weights_only=True)["state_dict"] for path in (first, second, third))
    assert all(torch.equal(value, same[key]) for key, value in one.items())
    assert {key for key in other if ".refiner." in key} and not {key for key in one if ".refiner." in key}
    # Figure 1 takes its networks from there.
    assert main(["-m", "experiment=pcvos_figure1", *SHORT, f"output_dir={tmp_path}"]) == 0
    assert len(list((tmp_path / "pcvos_trainings").glob("*/last.ckpt"))) == 2
    with (tmp_path / "pcvos_figure1/figure.csv").open() as file:
        assert [float(line["engine.clip_length"]) for line in csv.DictReader(file)] == [1, 5, 10, 15, 25]
    assert (tmp_path / "pcvos_figure1/figure.png").is_file()
