"""Sweeps whose jobs run in processes of their own, by the local executor and by a Slurm of scripts."""

import json
import os
import sys

import fake_slurm
import pytest
import torch
from runs import TRAIN, command, curve, weights

from vosfw.cli import cluster
from vosfw.cli.main import main as vosfw
from vosfw.cli.processes import agreed
from vosfw.cli.train import main as train
from vosfw.config import compose
from vosfw.errors import ConfigError

RUN = [
    *TRAIN,
    "trainer.limit_val_batches=0",
    "~callbacks.best",
    "trainer.max_steps=4",
    "callbacks.last.every_n_steps=2",
    "data.num_workers=0",
]


def stopped_at_3(folder, name):
    return [f"+callbacks.killer={{_target_: killer.Killer, step: 3, name: {name}, once: {folder / 'once'}}}"]


def test_a_job_that_was_stopped_goes_on_where_it_was(tmp_path):
    """As where its job is requeued: the same callable is called again."""
    whole, sweep = tmp_path / "whole", tmp_path / "sweep"
    # No sign of life of the process: what Slurm's handler does on SIGUSR2, at any place in the code.
    options = [*RUN, "callbacks.killer.name=SIGTERM", f"hydra.sweep.dir={sweep}", "seed=1"]
    options = [option for option in options if "killer.name" not in option]
    killer = [*stopped_at_3(tmp_path, "SIGINT")]
    assert train([*RUN, "seed=1", f"run_dir={whole}"]) == 0
    train([*options, *killer, "-m"])
    assert (sweep / "0" / "started.json").is_file() and not (sweep / "0" / "finished.json").exists()
    assert train([*options, *killer, "-m"]) == 0
    assert sorted(curve(sweep / "0", pattern="csv/version_1/metrics.csv")) == [2, 3]
    assert all(torch.equal(weights(whole)[key], value) for key, value in weights(sweep / "0").items())
