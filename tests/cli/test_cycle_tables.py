"""The cyclic paper's tables in small: a sweep in which one network damages the memory of the other."""

import csv

import pytest
from runs import DATA, QUIET

from vosfw.cli.reuse import kept
from vosfw.cli.train import main
from vosfw.config import choices, compose

SHORT = [*DATA, *QUIET, "data.test.videos=1", "data.augment.crop=[32,48]", "data.augment.short_side=null"]
TABLES = [name for name in choices("experiment") if name.startswith(("cycle_table", "cycle_figure"))]


@pytest.mark.parametrize(
    ("name", "second", "tests"),
    [
        ("cycle_table6", "noisy", {"plain", "low_quality", "low_quality_corrected", "box", "box_corrected"}),
        ("cycle_table7", "attacked", {"plain", "fgsm_black", "fgsm_black_corrected", "mi_fgsm_white"}),
    ],
)
def test_noise_of_a_network_that_the_sweep_trains(name, second, tests, tmp_path):
    options = ["-m", f"experiment={name}", *SHORT, f"output_dir={tmp_path}", "trainer.max_steps=2", "seed=0"]
    for test in compose([f"experiment={name}"]).tests:
        if test not in tests:
            options.append(f"++tests.{test}=null")
    assert main(options) == 0
    with (tmp_path / name / "table.csv").open() as file:
        found = {row["test"]: float(row["J&F"]) for row in csv.DictReader(file) if row["test"]}
    assert found.keys() == tests
    assert (tmp_path / name / "source-0/checkpoints/last.ckpt").is_file()
    assert not (tmp_path / name / "source-0/tests").exists()
    assert (tmp_path / name / f"{second}-0/tests/plain/results.json").is_file()
    # The other network has other weights.
    sizes = [(tmp_path / name / f"{run}-0/checkpoints/last.ckpt").stat().st_size for run in ("source", second)]
    assert sizes[0] < sizes[1]


def test_there_is_one_of_each():
    assert TABLES == [*(f"cycle_figure{n}" for n in (4, 5)), *(f"cycle_table{n}" for n in (3, 4, 5, 6, 7))]


@pytest.mark.parametrize("name", TABLES)
def test_they_share_their_trainings(name):
    one, two = (kept(compose([f"experiment={table}", "loss=cycle", "run_dir=x"])) for table in ("cycle_table3", name))
    assert one == two is not None
