"""``vosfw table``: runs as one table, with statistics over seeds and videos."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vosfw.cli.comparison import MEMORY, TEST, Row, arrange, columns, compare, videos
from vosfw.cli.formats import FORMATS, Line
from vosfw.cli.runs import BEST, Run, gather
from vosfw.data.files import replacing
from vosfw.errors import ConfigError, DatasetError

ENOUGH = 10
"""Videos; of fewer a bootstrap is too sure of itself."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-command."""
    parser.add_argument(
        "runs", nargs="+", help="folders of runs or sweeps, at any depth, offline W&B runs, or wandb:ENTITY/PROJECT"
    )
    parser.add_argument(
        "--by",
        nargs="+",
        default=[],
        metavar="KEY",
        help="one row per combination of these options (model.memory.segment), choices (model/matcher, loss) and test; "
        "separated by commas or spaces; all overridden ones that differ if left out",
    )
    parser.add_argument(
        "--seeds",
        nargs="?",
        const="",
        default="",
        metavar="0,1,2",
        help="the seeds that each row is to have; those that any row has if left out",
    )
    parser.add_argument(
        "--baseline", metavar="ROW", help="row that others are compared with: its labels, a,b; the first"
    )
    parser.add_argument("--metric", default="", metavar="NAME,…", help="scores; the first one is compared: j_and_f,j,f")
    parser.add_argument("--sort", metavar="NAME", help="by a score, the best first, or by a KEY; as found if left out")
    parser.add_argument("--out", type=Path, help="folder for table.md, table.csv, table.tex; the first of the runs")


def run(options: argparse.Namespace) -> int:
    """Write the table and print it."""
    out = options.out or Path(options.runs[0])
    if options.out is None and str(out).startswith("wandb:"):
        raise ConfigError("the runs are in W&B: name a folder for the table with --out")
    by = [key for text in options.by for key in text.split(",") if key]
    text = tabulate(
        collect(options.runs),
        out,
        by,
        seeds=_split(options.seeds),
        baseline=options.baseline,
        metrics=_split(options.metric),
        sort=options.sort,
    )
    print(text, end="")
    print(f"written: {', '.join(str(out / f'table.{suffix}') for suffix in FORMATS)}")
    return 0


def collect(places: Iterable[str]) -> list[Run]:
    """The runs in folders and of W&B projects, each once.

    Raises:
        VosfwError: If a place cannot be read.
    """
    from vosfw.cli.wandb_runs import offline, project

    found: dict[tuple[str, ...], Run] = {}
    for place in places:
        if place.startswith("wandb:"):
            runs = project(place.removeprefix("wandb:"))
        else:
            runs = gather(Path(place)) + offline(Path(place))
        for each in runs:
            # A sweep's folder is that of all its jobs that were not started.
            found.setdefault((each.where, each.test, *map(str, each.overrides.items())), each)
    return list(found.values())


def tabulate(
    runs: Sequence[Run],
    out: Path,
    by: Sequence[str] = (),
    *,
    seeds: Sequence[str] = (),
    baseline: str | None = None,
    metrics: Sequence[str] = (),
    sort: str | None = None,
) -> str:
    """Write ``table.md``, ``table.csv`` and ``table.tex``; returns the Markdown.

    A row per choice of the keys in ``by``: mean and standard deviation (of the sample) of the scores over the seeds,
    and the difference of the first score from the baseline's by a paired bootstrap over videos.

    Args:
        runs: To be compared.
        out: Folder.
        by: Options and choices; all overridden ones that differ, but the seed, if empty.
        seeds: That each row is to have; those that any row has if empty.
        baseline: Labels of the row that others are compared with, separated by commas; the first if None.
        metrics: Names of scores; all that were found if empty.
        sort: A score or a key.

    Raises:
        DatasetError: If no run has a score, or runs of a row were scored on different videos.
        ConfigError: If an argument names what no run has, or runs of a row and seed differ in their options.
        OutputError: If the table cannot be written.
    """
    if not any(run.scores for run in runs):
        why = "; ".join(f"{run.where}: {run.problem}" for run in runs[:3])
        raise DatasetError(f"No finished run with a score{': ' + why if why else ''}. Name folders of runs or sweeps.")
    heads, rows = arrange(runs, columns(runs, by), seeds)
    known = list(dict.fromkeys(name for run in runs for name in run.scores))
    known = [name for name in known if name != BEST or any(name in each.scores for row in rows for each in row.runs)]
    if unknown := [name for name in metrics if name not in known]:
        raise ConfigError(f"--metric {', '.join(unknown)}: in no run; there are {', '.join(known)}")
    names = list(metrics) or known
    rows = _sorted(rows, heads, known, sort)
    base = _baseline(rows, baseline)
    lines = [_line(row, rows, heads, base, names) for row in rows]
    for suffix, form in FORMATS.items():
        with replacing(out / f"table.{suffix}") as draft:
            draft.write_text(form(heads, names, lines), encoding="utf-8")
    return FORMATS["md"](heads, names, lines)


def _line(row: Row, rows: Sequence[Row], heads: Sequence[str], base: Row, names: Sequence[str]) -> Line:
    """A row with its comparison; each test is compared with the same test of the baseline."""
    if heads[-1:] == [TEST] and len(heads) > 1:
        same = (*base.labels[:-1], row.labels[-1])
        base = next((other for other in rows if other.labels == same), row)
    difference, note = (None, "") if row is base else compare(row, base, names[0])
    figures: dict[str, Any] = {name: row.mean(name)[0] for name in ("parameters", "fps")}
    for name in MEMORY:
        if (memory := row.mean(name)[0]) is not None:
            figures |= {"memory": memory, "device": name.split("_")[1]}
    missing: dict[str, list[str]] = {}
    for seed, reason in row.missing.items():
        missing.setdefault(reason, []).append(seed)
    notes = [f"seed{'s' * (len(s) > 1)} {', '.join(s)} missing: {reason}" for reason, s in missing.items()]
    scores = {name: row.mean(name) for name in names}
    if row is base and 1 < (count := len(videos(row.runs[0])) if row.runs else 0) < ENOUGH and len(rows) > 1:
        note = f"{count} videos are few: intervals are too narrow and p-values too small"
    return Line(row.labels, len(row.runs), len(row.missing), scores, difference, figures, (*notes, *row.notes, note))


def _baseline(rows: Sequence[Row], wanted: str | None) -> Row:
    if wanted is None:
        return rows[0]
    for row in rows:
        if wanted in (",".join(row.labels), ",".join(row.labels[:-1])):
            return row
    names = "; ".join(",".join(row.labels) for row in rows)
    raise ConfigError(f"--baseline {wanted}: no such row; there are {names}")


def _sorted(rows: list[Row], heads: Sequence[str], names: Sequence[str], by: str | None) -> list[Row]:
    if by is None:
        return rows
    if by in names:
        return sorted(rows, key=lambda row: -(row.mean(by)[0] or 0.0))
    if by in heads:
        return sorted(rows, key=lambda row: _number(row.labels[heads.index(by)]))
    raise ConfigError(f"--sort {by}: neither a score ({', '.join(names)}) nor a column ({', '.join(heads)})")


def _number(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
