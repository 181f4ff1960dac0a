"""One run of a task: what it leaves when it ends, alone or as a part of a sweep."""

import copy
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from vosfw.cli.figure import draw
from vosfw.cli.processes import is_first
from vosfw.cli.runs import gather
from vosfw.cli.sweep import FAILED, FINISHED, fail, finish, finished, go_on, start
from vosfw.cli.table import tabulate
from vosfw.errors import VosfwError

logger = logging.getLogger(__name__)

Task = Callable[[DictConfig], float | None]


def noted(task: Task, config: DictConfig, overrides: Sequence[str], *, again: bool = False) -> float | None:
    """Run a task, and note in its folder that it is done, or which error ended it.

    Args:
        task: What to run.
        config: Of the run.
        overrides: To be noted.
        again: Go on where the same run was stopped.
    """
    folder, own, first = Path(config.run_dir), copy.deepcopy(config), is_first()
    if start(folder, config) and again:
        sys.argv = [*sys.argv, *go_on(folder, config)]
    if first:
        for name in (FINISHED, FAILED):
            (folder / name).unlink(missing_ok=True)
    try:
        value = task(config)
    except Exception as error:
        fail(folder, overrides, error)
        raise
    if first:
        finish(folder, own, overrides, value)
    return value


def part_of_sweep(task: Task, config: DictConfig, hydra_config: Any) -> float | None:
    """One run of a sweep, unless it was done before; then table and figure of those that are done.

    One that was stopped goes on where it was. A run that fails is named, and the sweep goes on with the next one; its
    exit code tells of it at the end.
    """
    folder, sweep = Path(config.run_dir), Path(hydra_config.sweep.dir)
    overrides = hydra_config.overrides.task
    before = finished(folder, config)
    try:
        if before is not None:
            logger.info("done before, not repeated: %s", folder)
        value: float | None = noted(task, config, overrides, again=True) if before is None else before["value"]
    except VosfwError as error:
        text = f"this run of the sweep failed: {folder} ({' '.join(overrides)}): {error}"
        logger.error(text)
        raise CompactHydraException(f"vosfw: {text}\nThe same command goes on with it.") from error
    finally:
        if is_first() and not (before is not None and _told(sweep / "table.md", folder / FINISHED)):
            with_table(sweep)
    if config.get("figure") is not None and is_first():
        draw(sweep, config)
    return value


def with_table(sweep: Path) -> None:
    """Tabulate what there is of a sweep; a table that cannot be made stops no run."""
    try:
        tabulate(gather(sweep), sweep)
    except VosfwError as error:
        logger.warning("no table of the sweep: %s", error)


def _told(table: Path, note: Path) -> bool:
    """Whether a table was made after a run was done."""
    return table.is_file() and table.stat().st_mtime >= note.stat().st_mtime
