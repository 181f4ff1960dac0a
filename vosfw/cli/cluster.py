"""Jobs of a sweep that run in processes of their own: on a cluster, or side by side on this machine."""

import importlib.util
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from tqdm import tqdm

from vosfw.cli.figure import draw
from vosfw.cli.job import with_table
from vosfw.errors import ConfigError, UnsupportedError

logger = logging.getLogger(__name__)

SLURM = ("slurm", "submitit_slurm")
SUBMITIT = (*SLURM, "submitit_local")
"""Launchers that come with the extra ``slurm``; ``slurm`` is ours, with other defaults."""
PLUGIN = "hydra_submitit_launcher"
GROUP = "hydra/launcher="


def check_launcher(overrides: Sequence[str], *, multirun: bool) -> str:
    """The launcher that is asked for; empty if none is.

    Raises:
        ConfigError: If it would not be used.
        UnsupportedError: If it cannot start a job here.
    """
    chosen = [text.removeprefix(GROUP) for text in overrides if text.startswith(GROUP)]
    name = chosen[-1] if chosen else ""
    if name and not multirun:
        raise ConfigError(f"{GROUP}{name} starts jobs of sweeps only, this is a run here: add -m, also for one job")
    if name in SUBMITIT and not installed():
        raise UnsupportedError(f"{GROUP}{name} needs the extra slurm, which is not there: pip install 'vosfw[slurm]'")
    if name in SLURM and shutil.which("sbatch") is None:
        raise UnsupportedError(
            f"{GROUP}{name}: there is no sbatch here. Start the sweep on a machine that submits to Slurm, or use "
            f"{GROUP}submitit_local, which starts all jobs at once on this one."
        )
    return name


def installed() -> bool:
    """Whether the launchers are there, by looking for the files alone: Hydra loads them when it starts."""
    spaces = importlib.util.find_spec("hydra_plugins")
    return spaces is not None and any((Path(p) / PLUGIN).is_dir() for p in spaces.submodule_search_locations or ())


@contextmanager
def awaited(launcher: str) -> Iterator[None]:
    """Let a sweep wait for all jobs that it submitted, name those that were lost, and make the whole table at the end.

    The launcher itself stops to wait at the first job that left nothing (killed, cancelled, out of memory or of time),
    and jobs that end at the same moment write the table without each other.
    """
    if launcher not in SUBMITIT:
        yield
        return
    from hydra.core.plugins import Plugins
    from hydra.plugins.launcher import Launcher

    # Hydra loads its plugins by itself: what an import finds are other classes.
    plugins: Any = Plugins.instance().discover(Launcher)
    chosen = next(each for each in plugins if each.__module__.endswith("submitit_launcher") and _runs(each, launcher))
    launch = chosen.launch

    def whole(self: Any, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        with _waiting(len(job_overrides)):
            found: Sequence[JobReturn] = launch(self, job_overrides, initial_job_idx)
        sweep = Path(str(self.config.hydra.sweep.dir))
        with_table(sweep)
        if self.config.get("figure") is not None:
            draw(sweep, self.config)
        return found

    with patch.object(chosen, "launch", whole):
        yield


def _runs(plugin: type, launcher: str) -> bool:
    return plugin.__name__ == ("SlurmLauncher" if launcher in SLURM else "LocalLauncher")


@contextmanager
def _waiting(count: int) -> Iterator[None]:
    from submitit.core.core import Job
    from submitit.core.utils import UncompletedJobError

    results, done = Job.results, set()
    with tqdm(total=count, desc="sweep", unit="job") as bar:

        def each(job: Any) -> list[JobReturn]:
            try:
                found: list[JobReturn] = results(job)
            except UncompletedJobError:
                found = [_lost(job)]
            done.add(job.job_id)  # a job of several tasks has several results
            bar.update(len(done) - bar.n)
            return found

        with patch.object(Job, "results", each):
            yield


def _lost(job: Any) -> JobReturn:
    """What a job counts as that left nothing: as failed, so that the sweep's exit code tells of it."""
    submission = job.submission()
    overrides, _, number, *_ = submission.args
    folder = Path(str(submission.function.config.hydra.sweep.dir)) / str(number)
    text = f"this run of the sweep did not finish: {folder} ({' '.join(overrides)}); its log: {job.paths.stderr}"
    logger.error(text)
    found = JobReturn(overrides=overrides, status=JobStatus.FAILED)
    found.return_value = CompactHydraException(f"vosfw: {text}\nThe same command goes on with it.")
    return found
