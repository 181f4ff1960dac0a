"""Sweeps whose jobs run in processes of their own (the local executor, a Slurm of scripts), and runs on two nodes."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys

import fake_slurm
import pytest
import torch
from runs import EVALUATE, ROOT, TRAIN, command, curve, weights
from torch.distributed import TCPStore

from vosfw.cli import cluster, processes
from vosfw.cli.evaluate import main as evaluate
from vosfw.cli.main import main as vosfw
from vosfw.cli.train import main as train
from vosfw.config import compose
from vosfw.errors import ConfigError
from vosfw.ledger import Ledger

SHORT = [*TRAIN, "trainer.limit_val_batches=0", "~callbacks.best", "data.num_workers=0"]
RUN = [*SHORT, "trainer.max_steps=4", "callbacks.last.every_n_steps=2"]


def stopped(folder, name, step=3):
    """Options that let the first run that comes to a step get a signal there, once."""
    return [f"+callbacks.killer={{_target_: killer.Killer, step: {step}, name: {name}, once: '{folder / 'once'}'}}"]


def test_a_run_of_a_sweep_that_was_stopped_goes_on_where_it_was(tmp_path, monkeypatch):
    """Submitit ends a job in its handler of SIGUSR2, and calls it again in the next one."""
    monkeypatch.setattr(sys, "argv", ["train.py"])
    whole, sweep = tmp_path / "whole", tmp_path / "sweep"
    assert train([*RUN, "seed=1", f"run_dir={whole}"]) == 0
    options = ["-m", *RUN, *stopped(tmp_path, "SIGUSR2"), f"hydra.sweep.dir={sweep}"]
    before = signal.signal(signal.SIGUSR2, lambda *_: sys.exit(-1))
    try:
        assert train([*options, "seed=1"]) == -1
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert not (sweep / "0" / "finished.json").exists()
    assert train([*options, "seed=1"]) == 0
    assert sorted(curve(sweep / "0", pattern="csv/version_1/metrics.csv")) == [2, 3]
    assert all(torch.equal(weights(whole)[key], value) for key, value in weights(sweep / "0").items())
    assert sys.argv == ["train.py"]
    # With other options it is another run, whatever checkpoint is there.
    assert train([*options, "seed=2"]) == 0
    assert sorted(curve(sweep / "0", pattern="csv/version_2/metrics.csv")) == [0, 1, 2, 3]


def test_a_run_that_slurm_requeued_goes_on(tmp_path, monkeypatch):
    options = [*RUN, *stopped(tmp_path, "SIGUSR2"), f"run_dir={tmp_path / 'run'}"]
    before = signal.signal(signal.SIGUSR2, lambda *_: sys.exit(-1))
    try:
        assert train(options) == -1
    finally:
        signal.signal(signal.SIGUSR2, before)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert train(options) == 0
    assert sorted(curve(tmp_path / "run", pattern="csv/version_1/metrics.csv")) == [2, 3]


def test_an_evaluation_of_a_sweep_that_was_stopped_goes_on_behind_the_videos_that_are_done(tmp_path, monkeypatch):
    added, add = [], Ledger.add
    options = [*EVALUATE, "model=copy_first", f"hydra.sweep.dir={tmp_path}", "-m"]

    def until_two(self, video, measures):
        if len(added) == 2:
            sys.exit(-1)
        added.append(video)
        add(self, video, measures)

    monkeypatch.setattr(Ledger, "add", until_two)
    assert evaluate(options) == -1
    monkeypatch.setattr(Ledger, "add", lambda self, video, measures: added.append(video) or add(self, video, measures))
    assert evaluate(options) == 0
    assert len(added) == len(set(added)) == 3
    assert len(json.loads((tmp_path / "0" / "results.json").read_text())["sequences"]) == 3


def test_a_launcher_that_would_not_work_is_refused(tmp_path, capsys, monkeypatch):
    def message(*options):
        capsys.readouterr()
        assert train([*RUN, f"hydra.sweep.dir={tmp_path / 'sweep'}", *options]) == 2
        assert not (tmp_path / "sweep").exists()
        return capsys.readouterr().err

    assert "add -m" in message("hydra/launcher=submitit_local")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no sbatch here" in message("hydra/launcher=slurm", "-m")
    monkeypatch.setattr(cluster, "PLUGIN", "hydra_of_nobody")
    assert "pip install 'vosfw[slurm]'" in message("hydra/launcher=submitit_local", "-m")


def two_processes(monkeypatch, config, overrides=(), **variables):
    """What the first and the second process of a run add to their overrides."""
    for name in ("SLURM_NTASKS", "SLURM_PROCID", "TORCHELASTIC_RUN_ID", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = []
    for rank in (0, 1):
        monkeypatch.setattr(processes.rank_zero_only, "rank", rank)
        config.run_dir = f"outputs/at_{rank}"
        found.append(processes.agreed(config, overrides))
    return found


def test_processes_that_were_started_one_by_one_agree_on_the_folder(monkeypatch):
    config = compose(["trainer.num_nodes=2", "run_dir=x", "output_dir=outputs"])
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    torchrun = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    torchrun |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    first, second = two_processes(monkeypatch, config, **torchrun)
    assert first == ["run_dir='outputs/at_0'"] and second == [*first, "hydra.output_subdir=null"]
    first, second = two_processes(monkeypatch, config, ["run_dir=mine"], **torchrun)
    assert first == [] and second == ["hydra.output_subdir=null"]
    with pytest.raises(ConfigError, match="start it by itself"):
        processes.check_alone()
    slurm = {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_JOB_ID": "123", "SLURM_STEP_ID": "4"}
    first, second = two_processes(monkeypatch, config, **slurm)
    assert first == ["run_dir='outputs/slurm/123.4'"] and second == [*first, "hydra.output_subdir=null"]
    with pytest.raises(ConfigError, match="the same on all nodes"):
        two_processes(monkeypatch, config)
    assert two_processes(monkeypatch, config, ["run_dir=mine"]) == [[], []]


@pytest.mark.slow
def test_jobs_in_processes_of_their_own(tmp_path, capsys):
    """One is killed, one fails, one ends: the first two are named, and the same command goes on with them."""
    options = [*RUN, *stopped(tmp_path, "SIGKILL"), f"hydra.sweep.dir={tmp_path / 'sweep'}", "+tests.plain={}"]
    options += ["data.test.videos=1", "trainer.limit_train_batches=1.0,0.5,-1.0", "hydra/launcher=submitit_local"]
    run = command("train.py", "-m", *options)
    assert run.returncode == 1, run.stderr
    killed = next(i for i in (0, 1) if not (tmp_path / "sweep" / str(i) / "finished.json").exists())
    other = tmp_path / "sweep" / str(1 - killed)
    assert f"did not finish: {tmp_path / 'sweep' / str(killed)} (" in run.stderr
    table = (tmp_path / "sweep" / "table.md").read_text()
    assert "not finished" in table and "ConfigError" in table and "-1" in table
    assert vosfw(["table", str(tmp_path / "sweep"), "--by", "trainer.limit_train_batches"]) == 0
    assert "seed 0 missing: not finished" in capsys.readouterr().out
    before = (other / "finished.json").stat().st_mtime_ns

    run = command("train.py", "-m", *options)
    assert run.returncode == 1 and "did not finish" not in run.stderr and "limit_train_batches" in run.stderr
    assert (other / "finished.json").stat().st_mtime_ns == before
    again = curve(tmp_path / "sweep" / str(killed), pattern="csv/version_1/metrics.csv")
    assert sorted(again) == [2, 3]
    with (tmp_path / "sweep" / "table.csv").open() as file:
        rows = {row["trainer.limit_train_batches"]: row["n"] for row in csv.DictReader(file)}
    assert rows == {"1": "1", "0.5": "1", "-1": "0"}


@pytest.mark.slow
def test_a_job_of_slurm_is_requeued_and_goes_on(tmp_path):
    fake_slurm.put(tmp_path / "bin")
    options = [*RUN, *stopped(tmp_path, "SIGUSR2"), f"hydra.sweep.dir={tmp_path / 'sweep'}", "seed=0"]
    options += ["hydra/launcher=slurm", "hydra.launcher.partition=gpu"]
    run = command("train.py", "-m", *options, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert run.returncode == 0, run.stderr
    script = (tmp_path / "bin" / "script").read_text()
    for line in ("gpus-per-node=1", "ntasks-per-node=1", "partition=gpu", "time=1440", "nodes=1", "signal=USR2@120"):
        assert f"#SBATCH --{line}\n" in script
    assert sorted(curve(tmp_path / "sweep" / "0", pattern="csv/version_1/metrics.csv")) == [2, 3]
    assert (tmp_path / "sweep" / "0" / "finished.json").is_file()


@pytest.mark.slow
def test_two_nodes_train_as_two_processes_of_one(tmp_path):
    """Each process of torchrun composes its own configuration, and so has a time of its own."""
    run = [*SHORT, "trainer.max_steps=2", "trainer.strategy=ddp"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    two = ["--nnodes=2", "--nproc_per_node=1", "--master_addr=127.0.0.1", f"--master_port={port}"]
    nodes_of = [f"output_dir={tmp_path / 'nodes'}", "trainer.num_nodes=2", "trainer.devices=1"]
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *two, f"--node_rank={rank}", "train.py", *run, *nodes_of],
            env=environment,
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    errors = [node.communicate(timeout=300)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], errors
    done = command("train.py", *run, "trainer.devices=2", f"run_dir={tmp_path / 'one'}")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "nodes").glob("train/*/*")
    assert (folder / ".hydra" / "config.yaml").is_file() and (folder / "finished.json").is_file()
    expected, got = weights(tmp_path / "one"), weights(folder)
    assert expected.keys() == got.keys() and all(torch.equal(expected[key], got[key]) for key in got)


@pytest.mark.slow
def test_a_sweep_gives_each_run_two_processes(tmp_path):
    run = [*SHORT, "trainer.max_steps=1", "trainer.devices=2", "trainer.strategy=ddp", f"output_dir={tmp_path / 'out'}"]
    done = command("train.py", "-m", *run, f"hydra.sweep.dir={tmp_path / 'sweep'}", "seed=0,1")
    assert done.returncode == 0, done.stderr
    assert sorted(path.parent.name for path in tmp_path.rglob("finished.json")) == ["0", "1"]
    assert not (tmp_path / "out").exists()
