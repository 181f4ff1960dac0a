"""Tables and curves of a report in W&B."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vosfw.cli.tracking import settle_mode
from vosfw.errors import ConfigError, UnsupportedError
from vosfw.report.sections import Cell, Curves, Marked, Section, Table

TIME = "time"
"""What the curves are drawn over: share of the video."""


def log(target: str, out: Path, sections: Sequence[Section]) -> None:
    """Log each table as a ``wandb.Table`` and each line of the curves as a metric over normalised time.

    Args:
        target: ``PROJECT`` or ``PROJECT/NAME`` of the W&B run.
        out: Folder for W&B's own files.
        sections: Of the report; others than tables and curves are left out.

    Raises:
        ConfigError: If ``target`` names no project.
        UnsupportedError: If W&B cannot be reached.
    """
    import wandb

    project, _, name = target.partition("/")
    if not project:
        raise ConfigError(f"--wandb {target}: wanted PROJECT or PROJECT/NAME")
    settle_mode(out)
    try:
        run = wandb.init(project=project, name=name or None, dir=str(out), job_type="report")
        run.define_metric(TIME, hidden=True)
        run.define_metric("curve/*", step_metric=TIME)
        tables = [section for section in sections if isinstance(section, Table)]
        run.log({f"report/{_key(section.title)}": _table(section) for section in tables})
        for section in sections:
            if isinstance(section, Curves):
                for k, time in enumerate(section.x):
                    values = {f"curve/{_key(line.name)}": line.values[k] for line in section.lines}
                    run.log({TIME: time} | {key: v for key, v in values.items() if v is not None and math.isfinite(v)})
        run.finish()
    except wandb.errors.Error as error:
        raise UnsupportedError(
            f"cannot log to the W&B project '{project}': {error}. The page is written; set WANDB_MODE=offline."
        ) from error


def _table(section: Table) -> Any:
    import wandb

    # W&B's columns have one type each.
    rows = [[_cell(cell) for cell in row] for row in section.rows]
    return wandb.Table(columns=[column.name for column in section.columns], data=rows, allow_mixed_types=True)


def _cell(cell: Cell) -> str | float | int | None:
    return cell.text if isinstance(cell, Marked) else cell


def _key(text: str) -> str:
    """A name that W&B takes as one part of a path."""
    return re.sub(r"[^\w.,=&+ -]+", "_", text).strip()
