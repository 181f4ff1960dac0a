"""A training that is kept is not repeated, and its tests are."""

import json

import pytest
from runs import TRAIN, weights

from vosfw.cli.reuse import kept
from vosfw.cli.train import main
from vosfw.config import compose

SHORT = [*TRAIN, "trainer.limit_val_batches=0", "~callbacks.best", "data.test.videos=1"]


def arguments(*overrides):
    """Without flags of the command."""
    return [item for item in (*TRAIN, *overrides) if not item.startswith("-")]


def test_sweeps_with_other_tests_share_a_training(tmp_path):
    options = ["-m", *SHORT, "trainer.max_steps=2", f"reuse={tmp_path / 'kept'}", "seed=0"]
    assert main([*options, "+tests.first={}", f"hydra.sweep.dir={tmp_path}/a"]) == 0
    (stored,) = (tmp_path / "kept").glob("*/last.ckpt")
    assert stored.read_bytes() == (tmp_path / "a/0/checkpoints/last.ckpt").read_bytes()
    other = ["+tests.second.engine.policy.every=2", "data.test.videos=2", f"hydra.sweep.dir={tmp_path}/b"]
    assert main([*options, *other]) == 0
    assert not (tmp_path / "b/0/csv").exists(), "trained again"
    assert weights(tmp_path / "b/0").keys() == weights(tmp_path / "a/0").keys()
    assert len(json.loads((tmp_path / "b/0/tests/second/results.json").read_text())["sequences"]) == 2
    assert main([*options, "optimizer.lr=0.1", f"hydra.sweep.dir={tmp_path}/c"]) == 0
    assert (tmp_path / "c/0/csv").exists() and len(list((tmp_path / "kept").glob("*/last.ckpt"))) == 2


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("+tests.any={}", True),
        ("data.test.videos=9", True),
        ("metrics=davis16", True),
        ("run_dir=elsewhere", True),
        ("seed=1", False),
        ("data.train.videos=9", False),
        ("trainer.max_steps=7", False),
    ],
)
def test_what_makes_another_training(override, same):
    one, two = (kept(compose(arguments("reuse=KEPT", "run_dir=x", *extra))) for extra in ([], [override]))
    assert (one == two) is same


def test_nothing_is_kept_by_default():
    assert kept(compose(arguments())) is None
