"""Evaluations as a report shows them: each with a name of its own, its numbers, and the place of its masks."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vosfw.cli.comparison import SEED, columns, videos
from vosfw.cli.results import RESULTS, read_results
from vosfw.cli.robustness import CLEAN
from vosfw.cli.runs import Run
from vosfw.errors import DatasetError

REMOTE = "wandb:"
"""What names of runs in W&B begin with."""
LONGEST = 40
"""Letters of a name."""


class Evaluation(NamedTuple):
    """One evaluation that has scores."""

    name: str
    """Unlike any other's."""
    number: int
    """Of its colour."""
    run: Run
    """Its results are those of the clean set, if it is a benchmark of robustness."""
    folder: Path
    """Where its results and masks are."""
    robustness: Mapping[str, Any]
    """What ``robustness.json`` says; empty for a plain evaluation."""
    note: str = ""
    """What is missing of it."""

    @property
    def kind(self) -> tuple[Any, ...]:
        """What was scored, and by which protocol: only evaluations of one kind can be compared."""
        return videos(self.run), self.run.results.get("protocol")


def evaluated(runs: Sequence[Run]) -> list[Evaluation]:
    """The runs that have scores, in order."""
    found = []
    scored = [run for run in runs if run.scores and not run.problem]
    for number, (run, name) in enumerate(zip(scored, names(scored), strict=True)):
        folder = Path(run.where, "tests", run.test) if run.test else Path(run.where)
        robustness: Mapping[str, Any] = {}
        note = ""
        if "q_c" in run.scores:
            robustness = read_results(folder / RESULTS[1])
            folder = folder / "tests" / CLEAN
            try:
                run = run._replace(results=read_results(folder / RESULTS[0]))
            except DatasetError as error:
                note = f"the clean set has no sequences: {error}"
        found.append(Evaluation(name, number, run, folder, robustness, note))
    return found


def names(runs: Sequence[Run]) -> list[str]:
    """A name for each run: the options in which they differ, if these are short and tell it apart, else its folder."""
    told = [", ".join(filter(None, map(_said, each, each.values()))) for each in differences(runs)]
    local = [run.where for run in runs if not run.where.startswith(REMOTE)]
    above = Path(os.path.commonpath([str(Path(where).absolute().parent) for where in local] or ["."]))
    found = []
    for run, name in zip(runs, told, strict=True):
        if not name or len(name) > LONGEST or told.count(name) > 1:
            place = os.path.relpath(run.where, above) if run.where in local else run.where
            name = f"{place} {run.test}".rstrip()
        found.append(name)
    return [f"{name} ({i})" if found.count(name) > 1 else name for i, name in enumerate(found, 1)]


def _said(key: str, value: str) -> str:
    """An option as a part of a name: a choice by its name, others with their last word."""
    if value in ("", "null", "None") or key == "data.root":
        return ""
    return value if "." not in key and key != SEED else f"{key.rpartition('.')[2]} {value}"


def differences(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Of each run the options in which they differ, seed and test included, as ``vosfw table`` has them."""
    keys = [*(columns(runs, ()) if runs else ()), SEED]
    told = [{key: (run.test if key == "test" else run.value(key)) or "" for key in keys} for run in runs]
    told = [{**values, SEED: run.seed} for values, run in zip(told, runs, strict=True)]
    kept = [key for key in keys if len({values[key] for values in told}) > 1]
    return [{key: values[key] for key in kept} for values in told]


def kinds(evaluations: Sequence[Evaluation]) -> dict[tuple[Any, ...], list[Evaluation]]:
    """Evaluations that can be compared with one another, each kind in order; those without sequences are left out."""
    found: dict[tuple[Any, ...], list[Evaluation]] = {}
    for each in evaluations:
        if each.run.results.get("sequences"):
            found.setdefault(each.kind, []).append(each)
    return found


def missing(runs: Sequence[Run]) -> list[str]:
    """Why runs have no score, a line each."""
    return [
        f"{run.where}{f', test {run.test}' if run.test else ''}"
        f"{', ' + json.dumps(dict(run.overrides)) if run.siblings else ''}: {run.problem}"
        for run in runs
        if run.problem
    ]
