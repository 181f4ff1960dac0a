"""Several processes of one run: started by ``torchrun`` or ``srun``, each by itself, or by Lightning."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig, read_write

from vosfw.errors import ConfigError

PATIENCE = timedelta(minutes=5)
"""How long a process waits for the first one to say where the run is."""
KEY = "vosfw/run_dir"
MEETING = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")
"""What Lightning tells the processes of a run."""


def is_first() -> bool:
    """Whether this process is the first one of its run, which alone notes things in the run's folder."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def restarted() -> bool:
    """Whether Slurm (after a time limit or a preemption) or torchrun (after an error) starts this run once more."""
    return any(int(os.environ.get(name) or 0) > 0 for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"))


def several() -> bool:
    """Whether this is one of several processes that were started from outside."""
    if TorchElasticEnvironment.detect():
        return int(os.environ["WORLD_SIZE"]) > 1
    return _by_srun() and int(os.environ["SLURM_NTASKS"]) > 1


def _by_srun() -> bool:
    """Also as Lightning sees it, which takes these names for those of a shell that srun started."""
    shell = SLURMEnvironment.job_name() in ("bash", "interactive")
    return "SLURM_PROCID" in os.environ and "SLURM_NTASKS" in os.environ and not shell


def check_alone() -> None:
    """Refuse that each of several processes starts a sweep.

    Raises:
        ConfigError: Saying how else it is done.
    """
    if several():
        raise ConfigError(
            "-m under torchrun or srun, whose processes would each start the whole sweep: start it by itself, with "
            "trainer.devices=N or hydra/launcher=slurm hydra.launcher.gpus_per_node=N"
        )


def agreed(config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Overrides by which all processes of a run write to one folder, though each composes a time of its own.

    Under torchrun all take the folder of the first process, by the store that torchrun itself keeps. Under Slurm it is
    named by job and step, so that a job that is requeued finds it again. Only the first process records what the run
    was started with.

    Args:
        config: As this process composes it.
        overrides: As it was started with.

    Raises:
        ConfigError: If they have no way to agree.
    """
    named = any(text.startswith(("run_dir=", "hydra.run.dir=")) for text in overrides)
    if not several():
        nodes = config.trainer.get("num_nodes") or 1
        by_hand = not (named or TorchElasticEnvironment.detect() or _by_srun())
        if by_hand and isinstance(nodes, int) and nodes > 1:
            raise ConfigError(
                f"trainer.num_nodes={nodes}, but neither torchrun nor srun started this process: each node would write "
                "to a folder of its own. Add run_dir=FOLDER, the same on all nodes, or use torchrun or srun."
            )
        return []
    quiet = [] if is_first() else ["hydra.output_subdir=null"]
    if named:
        return quiet
    if TorchElasticEnvironment.detect():
        return [f"run_dir='{_told(str(config.run_dir))}'", *quiet]
    step = f"{os.environ['SLURM_JOB_ID']}.{os.environ.get('SLURM_STEP_ID', '0')}"
    return [f"run_dir='{Path(config.output_dir) / 'slurm' / step}'", *quiet]


def _told(own: str) -> str:
    """The folder that the first process told torchrun's store; also when torchrun starts them again."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != str(True):
        raise ConfigError("this torchrun shares no store with its processes: add run_dir=FOLDER, the same for all")
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=PATIENCE)
    if is_first():
        store.compare_set(KEY, "", own)
    return str(store.get(KEY).decode())


@contextmanager
def started_by(argv: list[str]) -> Iterator[None]:
    """Let it look as if ``argv`` had started this process.

    Lightning starts further processes (several GPUs) by what it finds in ``sys.argv`` and ``__main__``.
    """
    main = sys.modules["__main__"]
    saved = sys.argv, main.__spec__
    sys.argv = argv
    if main.__spec__ is not None and main.__spec__.name.startswith(("vosfw.", "submitit.")):
        main.__spec__ = None
    try:
        yield
    finally:
        sys.argv, main.__spec__ = saved


@contextmanager
def alone(script: str, own: Any) -> Iterator[None]:
    """Let further processes of a sweep's run (several GPUs) take part in this run alone, not in the whole sweep.

    Args:
        script: That runs it.
        own: Hydra's configuration of the run.
    """
    with read_write(own):
        own.run.dir = own.runtime.output_dir
    before = {name: os.environ.get(name) for name in MEETING}
    try:
        with started_by([script, *own.overrides.task]):
            yield
    finally:
        # The next run has other processes.
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ |= {} if value is None else {name: value}
