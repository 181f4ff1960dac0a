"""Tests of a sweep as a figure: scores against one of the options in which they differ."""

import csv
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from vosfw.cli.formats import HEADS
from vosfw.cli.sweep import FINISHED
from vosfw.config import to_container
from vosfw.data.files import replacing
from vosfw.errors import ConfigError

NAMES = {**HEADS, "fps": "frames per second"}


class Point(NamedTuple):
    """The scores of one test in all finished runs."""

    line: float
    place: float
    """What the test sets the option to along which the line runs."""
    scores: Mapping[str, list[float]]


def draw(folder: Path, config: DictConfig) -> None:
    """Write the figure of a sweep, ``figure.png`` and ``figure.csv``: mean and sample deviation over the runs.

    Args:
        folder: Of the sweep.
        config: Of its training, or of its evaluation: ``figure.x`` is an option that ``tests``, or the runs of the
            sweep, set, such as ``engine.corrector.steps`` (0 where one does not), ``figure.y`` what is shown: keys of
            ``results.json``, ``figure.lines`` an option whose values are drawn as a line each. With ``figure.along``,
            an option, ``figure.x`` is a key of ``results.json`` too, and the points of a line are the option's values.

    Raises:
        ConfigError: If nothing sets the option, or results lack what ``figure`` names.
        OutputError: If a file cannot be written.
    """
    along = config.figure.get("along")
    wanted = [str(name) for name in config.figure.y]
    option, shown = (str(config.figure.x), wanted) if along is None else (str(along), [str(config.figure.x), *wanted])
    points = collect(folder, config, option, shown)
    if not points:
        return
    with replacing(folder / "figure.csv") as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            [config.figure.get("lines") or "line", option, "n", *(head for y in shown for head in (y, "std"))]
        )
        for point in points:
            cells = [cell for y in shown for cell in summary(point.scores[y])]
            table.writerow([point.line, point.place, len(point.scores[shown[0]]), *cells])
    plot(points, wanted, folder / "figure.png", x=str(config.figure.x), along=along, lines=config.figure.get("lines"))


def collect(folder: Path, config: DictConfig, option: str, wanted: list[str]) -> list[Point]:
    """The points of the figure, by line and place; of runs that are done."""
    found: dict[tuple[float, float], dict[str, list[float]]] = {}
    tests = {name: changes for name, changes in to_container(config.get("tests") or {}).items() if changes is not None}
    if "tests" in config and not any(_value(changes, option) for changes in tests.values()):
        raise ConfigError(f"figure is along {option!r}, which no test sets; wanted an option of tests.NAME")
    for path in sorted(folder.rglob(FINISHED)):
        choices = _choices(path)
        own = {path.parent / "tests" / str(name) / "results.json": changes for name, changes in tests.items()}
        for result, changes in own.items() if "tests" in config else [(path.parent / "results.json", choices)]:
            if not result.is_file():
                continue
            scores: dict[str, Any] = json.loads(result.read_text())
            if missing := [y for y in wanted if scores.get(y) is None]:
                raise ConfigError(f"figure names {', '.join(missing)}, not in {result}; it has {', '.join(scores)}")
            place = _value(changes, config.figure.get("lines")), _value(changes, option)
            point = found.setdefault(place, {y: [] for y in wanted})
            for y in wanted:
                point[y].append(float(scores[y]))
    return [Point(*place, scores) for place, scores in sorted(found.items())]


def plot(points: list[Point], wanted: list[str], path: Path, *, x: str, along: str | None, lines: str | None) -> None:
    """A panel per score; an option as x is on a logarithmic scale that has a 0, one along the line stands at points.

    Raises:
        OutputError: If the picture cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(wanted) + (along is not None), 3.4), layout="constrained")
    for axes, y in zip(figure.subplots(1, len(wanted), squeeze=False)[0], wanted, strict=True):
        for line in sorted({point.line for point in points}):
            own = [point for point in points if point.line == line]
            means, spreads = _summaries(own, y)
            label = None if lines is None else f"{lines.rpartition('.')[2]} {line:g}"
            places, widths = ([point.place for point in own], None) if along is None else _summaries(own, x)
            axes.errorbar(places, means, yerr=spreads, xerr=widths, fmt="o-", ms=4, capsize=3, label=label)
            if along is not None:
                for point, *where in zip(own, places, means, strict=True):
                    axes.annotate(
                        f"{point.place:g}",
                        where,
                        xytext=(5, 5),
                        textcoords="offset points",
                        bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
                    )
        if along is None:
            ticks = sorted({point.place for point in points})
            axes.set_xscale("symlog", linthresh=min((tick for tick in ticks if tick > 0), default=1.0))
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        else:
            axes.set_title(f"numbers: {along}", fontsize="small")
            axes.margins(x=0.15, y=0.1)
        axes.set_xlabel(NAMES.get(x, x))
        axes.set_ylabel(NAMES.get(y, y))
        axes.grid(alpha=0.3)
        if lines is not None:
            axes.legend()
    with replacing(path) as draft:
        figure.savefig(draft, dpi=100, format="png")


def summary(values: list[float]) -> tuple[float, float | None]:
    """Mean, and the deviation of the sample if there is one."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _summaries(points: list[Point], name: str) -> tuple[list[float], list[float]]:
    """Means and deviations of a score, point by point."""
    means, spreads = zip(*(summary(point.scores[name]) for point in points), strict=True)
    return list(means), [spread or 0.0 for spread in spreads]


def _choices(path: Path) -> dict[str, Any]:
    """What a finished run was told to be, option by option; choices of parts, such as ``model=stm``, are left out."""
    overrides: list[str] = json.loads(path.read_text()).get("overrides", [])
    return to_container(OmegaConf.from_dotlist([item.lstrip("+") for item in overrides if _is_option(item)]))


def _is_option(override: str) -> bool:
    key = override.partition("=")[0]
    return "." in key and not set("/@~") & set(key)


def _value(changes: Mapping[str, Any], key: str | None) -> float:
    """What a test sets an option to; 0 if it does not.

    Raises:
        ConfigError: If that is no number.
    """
    found = None if key is None else OmegaConf.select(OmegaConf.create(dict(changes)), key)
    try:
        return 0.0 if found is None else float(found)
    except (TypeError, ValueError):
        raise ConfigError(f"figure: {key} is set to {found!r}; wanted an option whose values are numbers") from None
