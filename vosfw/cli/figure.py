"""Tests of a sweep as a figure: scores against one of the options in which they differ."""

import csv
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from vosfw.cli.sweep import FINISHED, HEADS
from vosfw.config import to_container
from vosfw.data.files import replacing
from vosfw.errors import ConfigError

NAMES = {**HEADS, "fps": "frames per second"}


class Point(NamedTuple):
    """The scores of one test in all finished runs."""

    line: float
    x: float
    scores: Mapping[str, list[float]]


def draw(folder: Path, config: DictConfig) -> None:
    """Write the figure of a sweep, ``figure.png`` and ``figure.csv``: mean and sample deviation over the runs.

    Args:
        folder: Of the sweep.
        config: Of its training: ``figure.x`` is an option that ``tests`` set, such as ``engine.corrector.steps`` (0
            where one does not), ``figure.y`` what is shown: keys of ``results.json``, ``figure.lines`` an option whose
            values are drawn as a line each.

    Raises:
        ConfigError: If no test sets ``figure.x``, or results lack what ``figure.y`` names.
        OutputError: If a file cannot be written.
    """
    wanted = [str(name) for name in config.figure.y]
    points = collect(folder, config, wanted)
    if not points:
        return
    with replacing(folder / "figure.csv") as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            [config.figure.get("lines") or "line", config.figure.x, "n", *(h for y in wanted for h in (y, "std"))]
        )
        for point in points:
            cells = [cell for y in wanted for cell in summary(point.scores[y])]
            table.writerow([point.line, point.x, len(point.scores[wanted[0]]), *cells])
    plot(points, wanted, folder / "figure.png", x=str(config.figure.x), lines=config.figure.get("lines"))


def collect(folder: Path, config: DictConfig, wanted: list[str]) -> list[Point]:
    """The points of the figure, by line and x; of runs that are done."""
    found: dict[tuple[float, float], dict[str, list[float]]] = {}
    tests = {name: changes for name, changes in to_container(config.tests).items() if changes is not None}
    if not any(_value(changes, config.figure.x) for changes in tests.values()):
        raise ConfigError(f"figure.x is {config.figure.x!r}, which no test sets; wanted an option of tests.NAME")
    for run in sorted(path.parent for path in folder.rglob(FINISHED)):
        for name, changes in tests.items():
            result = run / "tests" / name / "results.json"
            if not result.is_file():
                continue
            scores: dict[str, Any] = json.loads(result.read_text())
            if missing := [y for y in wanted if scores.get(y) is None]:
                raise ConfigError(f"figure.y names {', '.join(missing)}, not in {result}; it has {', '.join(scores)}")
            place = _value(changes, config.figure.get("lines")), _value(changes, config.figure.x)
            point = found.setdefault(place, {y: [] for y in wanted})
            for y in wanted:
                point[y].append(float(scores[y]))
    return [Point(*place, scores) for place, scores in sorted(found.items())]


def plot(points: list[Point], wanted: list[str], path: Path, *, x: str, lines: str | None) -> None:
    """A panel per score; a rate and a count are shown on a logarithmic scale that has a 0.

    Raises:
        OutputError: If the picture cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(wanted), 3.4), layout="constrained")
    places = sorted({point.x for point in points})
    least = min((place for place in places if place > 0), default=1.0)
    for axes, y in zip(figure.subplots(1, len(wanted), squeeze=False)[0], wanted, strict=True):
        for line in sorted({point.line for point in points}):
            own = [point for point in points if point.line == line]
            means, spreads = zip(*(summary(point.scores[y]) for point in own), strict=True)
            label = None if lines is None else f"{lines.rpartition('.')[2]} {line:g}"
            errors = [spread or 0.0 for spread in spreads]
            axes.errorbar([point.x for point in own], means, yerr=errors, fmt="o-", ms=4, capsize=3, label=label)
        axes.set_xscale("symlog", linthresh=least)
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.minorticks_off()
        axes.set_xlabel(x)
        axes.set_ylabel(NAMES.get(y, y))
        axes.grid(alpha=0.3)
        if lines is not None:
            axes.legend()
    with replacing(path) as draft:
        figure.savefig(draft, dpi=100, format="png")


def summary(values: list[float]) -> tuple[float, float | None]:
    """Mean, and the deviation of the sample if there is one."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _value(changes: Mapping[str, Any], key: str | None) -> float:
    """What a test sets an option to; 0 if it does not."""
    found = None if key is None else OmegaConf.select(OmegaConf.create(dict(changes)), key)
    return 0.0 if found is None else float(found)
