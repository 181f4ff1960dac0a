import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from layouts import make_own
from runs import DATA, QUIET, SMALL_AOC, SMALL_RPCM, TRAIN, command, curve, weights

from vosfw.cli.train import main
from vosfw.hub import read_checkpoint

RUN = [
    *TRAIN,
    "trainer.max_steps=3",
    "optimizer=sgd",
    "optimizer.lr=0.1",
    "scheduler=constant",
    "trainer.val_check_interval=3",
    "data.val.videos=3",
    "callbacks=[default,prediction_writer]",
    "callbacks.prediction_writer.stages=[fit]",
]
SMALL_STM = ["model=stm", "model/encoder=small", "model/value_encoder=patch", "model/decoder=propagate"]


def test_two_processes_train_to_the_weights_of_one(tmp_path):
    one, two, half = tmp_path / "one", tmp_path / "two", tmp_path / "half"
    assert main([*RUN, "data.batch_size=4", f"run_dir={one}"]) == 0
    done = command("train.py", *RUN, "data.batch_size=2", f"run_dir={two}", "trainer.devices=2", "trainer.strategy=ddp")
    assert done.returncode == 0, done.stderr
    expected, got = weights(one), weights(two)
    assert expected.keys() == got.keys()
    for key in expected:
        torch.testing.assert_close(got[key], expected[key], rtol=1e-5, atol=1e-5, msg=key)
    # Neither of the two halves of the batches leads there.
    assert main([*RUN, "data.batch_size=2", f"run_dir={half}"]) == 0
    assert max(float((value - expected[key]).abs().max()) for key, value in weights(half).items()) > 1e-3

    # Validation videos are shared out, scored together, and each process writes the masks of its own.
    score = float(curve(one, "val/j_and_f")[2])
    assert float(curve(two, "val/j_and_f")[2]) == pytest.approx(score, abs=0.01)
    masks = [sorted(path.relative_to(run / "masks") for path in run.glob("masks/*/*.png")) for run in (one, two)]
    assert masks[0] == masks[1] and len(masks[0]) == 3 * 6


@pytest.mark.slow
def test_two_processes_fine_tune_with_frozen_parts(tmp_path):
    """Parameters that are frozen have no gradient to wait for, and the start weights are scored together."""
    run = [
        "experiment=finetune",
        f"data.root={make_own(tmp_path / 'own', 5)}",
        "data.num_workers=0",
        "data.augment.crop=[32,48]",
        "data.augment.min_pixels=1",
        "data.sampler.clip_frames=2",
        "data.train.ratios.synthetic=0",
        "data.train.parts.own.hold_out=0.4",
        "freeze=[encoder.*]",
        "+layer_lr={decoder.*:0.5}",
        "optimizer=sgd",
        "optimizer.lr=0.01",
        "engine.short_side=null",
        "before_after.test=null",
        "trainer.max_steps=2",
        "trainer.val_check_interval=1",
        "callbacks.last.every_n_steps=1",
        "logger=csv",
        *QUIET,
    ]
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*run, "data.batch_size=2", f"run_dir={one}"]) == 0
    ddp = ["trainer.devices=2", "trainer.strategy=ddp"]
    done = command("train.py", *run, "data.batch_size=1", f"run_dir={two}", *ddp)
    assert done.returncode == 0, done.stderr
    expected, got = weights(one), weights(two)
    start = read_checkpoint(Path("embedded")).weights
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value, rtol=1e-4, atol=1e-5, msg=key)
        given = start[key.removeprefix("segmenter.")].to(value.dtype)
        assert torch.allclose(value, given, 1e-6, 0) or not key.startswith("segmenter.encoder."), key
    scores = [json.loads((run / "before_after.json").read_text()) for run in (one, two)]
    assert scores[0]["before"]["val"]["videos"] == pytest.approx(scores[1]["before"]["val"]["videos"], abs=1e-3)
    assert scores[0]["before"]["val"]["j_and_f"] == pytest.approx(scores[1]["before"]["val"]["j_and_f"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", [[], [*SMALL_STM, "model.value_dim=16", "model.grid_multiple=8"]], ids=["demo", "stm"]
)
def test_two_processes_train_in_a_cycle(network, tmp_path):
    """Also where a process has no frame that leads back, every parameter has a gradient there."""
    cycle = [*RUN[:-2], *network, "loss=cycle", "loss.visible=all", "data.val.videos=1"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*cycle, "data.batch_size=4", f"run_dir={one}"]) == 0
    done = command(
        "train.py", *cycle, "data.batch_size=2", f"run_dir={two}", "trainer.devices=2", "trainer.strategy=ddp"
    )
    assert done.returncode == 0, done.stderr
    expected, got = weights(one), weights(two)
    for key in expected:
        torch.testing.assert_close(got[key], expected[key], rtol=1e-5, atol=1e-5, msg=key)
    assert all(float(value) > 0 for value in curve(one, "train/cycle").values())


@pytest.mark.slow
def test_two_processes_train_per_clip(tmp_path):
    """A clip's loss is a mean over its batch, also where a process has other objects than its neighbour."""
    run = [
        *[option for option in (*DATA, *QUIET) if "batch_size" not in option],
        "experiment=pcvos_tiny",
        "data.train.length=9",
        "data.augment.crop=[32,48]",
        "data.augment.short_side=null",
        "optimizer=sgd",
        "optimizer.lr=0.1",
        "scheduler=constant",
        "trainer.max_steps=3",
        "trainer.log_every_n_steps=1",
        "tests.test=null",
    ]
    one, two, half = tmp_path / "one", tmp_path / "two", tmp_path / "half"
    assert main([*run, "data.batch_size=4", f"run_dir={one}"]) == 0
    done = command("train.py", *run, "data.batch_size=2", f"run_dir={two}", "trainer.devices=2", "trainer.strategy=ddp")
    assert done.returncode == 0, done.stderr
    assert main([*run, "data.batch_size=2", f"run_dir={half}"]) == 0
    wanted, got, other = weights(one), weights(two), weights(half)
    assert wanted.keys() == got.keys() and any(".refiner." in key for key in wanted)
    for key in wanted:
        torch.testing.assert_close(got[key], wanted[key], rtol=1e-5, atol=1e-5, msg=key)
    # Neither of the two halves of the batches leads there.
    assert max(float((value - wanted[key]).abs().max()) for key, value in other.items()) > 1e-3
    assert all(float(value) > 0 for value in curve(one, "train/clip").values())


# Where a rounding decides which cells are the most confident, gradients differ by more than roundings.
EVERY_CELL = [f"model.{part}.calibration.beta=0" for part in ("ensembler", "decoder")]
PROXIES = """
import hashlib, sys, torch
from vosfw.model.proxy.kmeans import KMeansProxies

torch.manual_seed(int(sys.argv[1]))
torch.rand(int(sys.argv[1]))
generator = torch.Generator().manual_seed(0)
embedding, labels = torch.randn(2, 8, 9, 13, generator=generator), torch.randint(0, 3, (2, 9, 13), generator=generator)
masks = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
found = [part for count in (1, 16) for part in KMeansProxies()(embedding, masks, count)]
print(hashlib.sha256(b"".join(part.numpy().tobytes() for part in found)).hexdigest())
"""


def test_two_processes_have_the_same_proxies():
    """Whatever was drawn in each before."""
    calls = [subprocess.run([sys.executable, "-c", PROXIES, seed], capture_output=True, text=True) for seed in "12"]
    assert calls[0].returncode == 0, calls[0].stderr
    assert calls[0].stdout == calls[1].stdout and len(calls[0].stdout) == 65


@pytest.mark.slow
@pytest.mark.parametrize("network", [SMALL_RPCM, [*SMALL_AOC, *EVERY_CELL]], ids=["rpcm", "aoc"])
def test_two_processes_train_a_matching_network_on_triples(network, tmp_path):
    """Frozen norms and group norms know no batch; the latter, over few cells, make roundings grow."""
    run = [
        *network,
        *DATA,
        *QUIET,
        "logger=csv",
        "model.encoder.dropout=0.0",
        "data/sampler=triple",
        "data.sampler.current=1",
        "data.sampler.foreground=8",
        "optimizer=sgd",
        "optimizer.lr=0.01",
        "scheduler=constant",
        "trainer.limit_val_batches=0",
        "trainer.max_steps=2",
        "trainer.log_every_n_steps=1",
    ]
    one, two, half = tmp_path / "one", tmp_path / "two", tmp_path / "half"
    assert main([*run, "data.batch_size=4", f"run_dir={one}"]) == 0
    done = command("train.py", *run, "data.batch_size=2", f"run_dir={two}", "trainer.devices=2", "trainer.strategy=ddp")
    assert done.returncode == 0, done.stderr
    assert main([*run, "data.batch_size=2", f"run_dir={half}"]) == 0
    wanted, got, other = weights(one), weights(two), weights(half)
    assert wanted.keys() == got.keys()
    for key in wanted:
        torch.testing.assert_close(got[key], wanted[key], rtol=0, atol=2e-4, msg=key)
    # Neither of the two halves of the batches leads there.
    assert max(float((value - wanted[key]).abs().max()) for key, value in other.items()) > 1e-3
