"""The numbers of a report: tables, and curves over time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vosfw.cli.comparison import MEMORY
from vosfw.cli.evaluated import Evaluation, differences, kinds
from vosfw.cli.formats import HEADS
from vosfw.metrics.over_time import over_time
from vosfw.report.sections import Cell, Column, Curves, Line, Marked, Section, Table

DETAILS = {"j_recall": "J recall", "j_decay": "J decay", "f_recall": "F recall", "f_decay": "F decay"}
NOTES = {
    "J": "region overlap, percent",
    "F": "accuracy of the boundary, percent",
    "J&F": "mean of J and F, percent",
    "J recall": "share of frames with J above 0.5, percent",
    "F recall": "share of frames with F above 0.5, percent",
    "J decay": "J of the first quarter of the frames less that of the last, points",
    "F decay": "F of the first quarter of the frames less that of the last, points",
    "Q_c": "J&F on the clean set, percent",
    "Q_p": "mean J&F on the perturbed sets, percent",
    "R_p": "Q_c less Q_p, points",
    "FPS": "frames per second",
}
POINTS = 51
"""Of normalised time."""


def percent(value: Any) -> float | None:
    """A fraction in percent."""
    return None if value is None else 100 * float(value)


def column(name: str, digits: int | None = 1, best: str = "") -> Column:
    """A column with its explanation; numbers in percent if not said otherwise."""
    return Column(name, digits, best, NOTES.get(name, ""))


def summary(evaluations: Sequence[Evaluation]) -> Table:
    """One row per evaluation."""
    letters = letter_of(evaluations)
    # What was scored on other videos is not better or worse.
    high, low = ("high", "low") if len(set(letters.values())) < 2 else ("", "")
    options = differences([each.run for each in evaluations])
    results = [each.run.results for each in evaluations]
    columns = [column("run", None)]
    cells: list[Sequence[Cell]] = [[Marked(each.name, each.number) for each in evaluations]]

    def add(head: Column, values: Sequence[Cell]) -> None:
        if any(value is not None for value in values):
            columns.append(head)
            cells.append(values)

    if len(set(letters.values())) > 1:
        add(Column("set", note="letters stand for what was scored: see below"), [letters[e.name] for e in evaluations])
    for name, head in HEADS.items():
        best = low if name == "r_p" else high
        add(column(head, best=best), [percent(each.run.scores.get(name)) for each in evaluations])
    for name, head in DETAILS.items():
        add(column(head, best=low if "decay" in name else high), [percent(found.get(name)) for found in results])
    add(column("FPS", best=high), [found.get("fps") for found in results])
    sizes = [found.get("parameters") for found in results]
    add(Column("parameters (M)", 2, note="millions"), [None if size is None else size / 1e6 for size in sizes])
    for name in MEMORY:
        add(column(f"memory ({name.split('_')[1].upper()}, MiB)", 0, low), [found.get(name) for found in results])
    add(column("videos", 0), [len(found["sequences"]) if "sequences" in found else None for found in results])
    for key in options[0] if options else ():
        add(column(key, None), [found[key] for found in options])
    intro = "Scores in percent. A click on a head sorts by that column"
    intro += "; the best figure is bold." if high and len(evaluations) > 1 else "."
    return Table("Runs", columns, list(zip(*cells, strict=True)), intro)


def letter_of(evaluations: Sequence[Evaluation]) -> dict[str, str]:
    """A letter for each kind of evaluation, by name; empty where there are no sequences."""
    found = {each.name: "" for each in evaluations}
    for i, group in enumerate(kinds(evaluations).values()):
        found |= {each.name: chr(ord("A") + i % 26) for each in group}
    return found


def remarks(evaluations: Sequence[Evaluation]) -> list[str]:
    """What must be known before figures are compared."""
    lines = [f"{each.name}: {each.note}" for each in evaluations if each.note]
    groups = kinds(evaluations)
    if len(groups) > 1:
        lines.append("These runs were not scored on the same videos, objects and frames: compare within a set only.")
        for i, group in enumerate(groups.values()):
            names = sorted(group[0].run.results["sequences"])
            shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
            frames = sum(len(each.get("frames", ())) for each in group[0].run.results["sequences"].values())
            lines.append(
                f"set {chr(ord('A') + i % 26)}, protocol {group[0].run.results.get('protocol')}, {frames} scored "
                f"frames: {shown}"
            )
    for each in evaluations:
        lines += [
            f"{each.name}: {name} not scored, {why}" for name, why in each.run.results.get("unscored", {}).items()
        ]
    return lines


def curves(evaluations: Sequence[Evaluation]) -> list[Section]:
    """J&F over normalised time, a chart per kind of evaluation."""
    found: list[Section] = []
    groups = kinds(evaluations)
    for i, group in enumerate(groups.values()):
        lines = []
        for each in group:
            values = over_time(each.run.results, points=POINTS)
            if not np.isnan(values).all():
                lines.append(Line(each.name, (100 * values).tolist(), each.number))
        if lines:
            where = f", set {chr(ord('A') + i % 26)}" if len(groups) > 1 else ""
            intro = "Each object's J&F per frame, brought to the length of its video (0: first scored frame, 1: last), "
            intro += "mean over objects."
            time = np.linspace(0, 1, POINTS).tolist()
            found.append(Curves(f"J&F over time{where}", intro, time, "share of the video", "J&F in percent", lines))
    return found


def sequences(evaluations: Sequence[Evaluation]) -> list[Section]:
    """Every sequence and object of every run, and, of several runs, their J&F side by side."""
    groups = kinds(evaluations)
    several = sum(map(len, groups.values())) > 1
    figures = {**{name: HEADS[name] for name in ("j_and_f", "j", "f")}, **DETAILS}
    rows: list[list[Cell]] = []
    for each in (each for group in groups.values() for each in group):
        for name, found in sorted(each.run.results["sequences"].items()):
            frames = len(found["frames"]) if "frames" in found else None
            parts = [("mean", found), *((f"object {key}", one) for key, one in found["objects"].items())]
            for object_, scores in parts:
                rows.append([Marked(each.name, each.number)] if several else [])
                rows[-1] += [name, object_, frames, *(percent(scores.get(key)) for key in figures)]
    heads = [*([column("run", None)] if several else []), column("sequence", None), column("object", None)]
    heads += [column("frames", 0), *(column(head) for head in figures.values())]
    facets = (0, 2) if several else (1,)
    intro = "In percent; a sequence's row is the mean over its objects."
    made: list[Section] = (
        [Table("Sequences and objects", heads, rows, intro, search=True, facets=facets)] if rows else []
    )
    for i, group in enumerate(groups.values()):
        if len(group) > 1:
            where = f", set {chr(ord('A') + i % 26)}" if len(groups) > 1 else ""
            made.append(side_by_side(group, where))
    return made


def side_by_side(group: Sequence[Evaluation], where: str) -> Table:
    """J&F of each sequence and object by run; all were scored on the same."""
    results = [each.run.results["sequences"] for each in group]
    rows: list[list[Cell]] = []
    for name, found in sorted(results[0].items()):
        for key in (None, *found["objects"]):
            each = [one[name] if key is None else one[name]["objects"][key] for one in results]
            values = [percent(scores.get("j_and_f")) for scores in each]
            known = [value for value in values if value is not None]
            spread = max(known) - min(known) if known else None
            rows.append([name, "mean" if key is None else f"object {key}", *values, spread])
    heads = [column("sequence", None), column("object", None), *(column(each.name) for each in group)]
    heads.append(Column("spread", 1, note="best less worst, points"))
    return Table(f"J&F by run{where}", heads, rows, "In percent. Spread: the best less the worst.", True, (1,))
