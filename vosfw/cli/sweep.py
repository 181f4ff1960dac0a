"""What a sweep leaves: runs that are done are not repeated, and all of them make one table."""

import csv
import hashlib
import io
import json
import math
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from vosfw.config import to_container
from vosfw.data.files import replacing
from vosfw.errors import ConfigError, DatasetError

FINISHED = "finished.json"
"""In the folder of every run of a sweep that is done: its overrides, their checksum, and the value it returned."""
RESULTS = ("results.json", "robustness.json")
"""What evaluations leave."""
SCORES = ("j_and_f", "j", "f")
HEADS = {"j_and_f": "J&F", "j": "J", "f": "F", "best": "best validation J&F", "q_c": "Q_c", "q_p": "Q_p", "r_p": "R_p"}
TEST = "test"
"""Column of the names of the tests (``tests`` in ``train.yaml``)."""
SEED = "seed"


class Run(NamedTuple):
    """One score of a sweep."""

    choices: dict[str, str]
    """Overrides by key, and the test."""
    scores: dict[str, float]


def finished(folder: Path, config: DictConfig) -> dict[str, Any] | None:
    """What is noted of a run with this very configuration; None if it has to be done."""
    path = folder / FINISHED
    if not path.is_file():
        return None
    noted: dict[str, Any] = json.loads(path.read_text())
    return noted if noted.get("config") == checksum(config) else None


def finish(folder: Path, config: DictConfig, overrides: Sequence[str], value: float | None) -> None:
    """Note that a run is done.

    Raises:
        OutputError: If that cannot be written.
    """
    number = None if value is None or math.isnan(value) else value
    noted = {"overrides": list(overrides), "value": number, "config": checksum(config)}
    with replacing(folder / FINISHED) as draft:
        draft.write_text(json.dumps(noted, indent=2) + "\n")


def checksum(config: DictConfig, without: Collection[str] = ()) -> str:
    """Of all options but those ``without`` (``data.test``), wherever the run's folder is."""
    plain = OmegaConf.create(OmegaConf.to_container(config))
    assert isinstance(plain, DictConfig)
    for key in without:
        group, _, name = key.rpartition(".")
        OmegaConf.select(plain, group).pop(name, None) if group else plain.pop(name, None)
    OmegaConf.update(plain, "run_dir", "")
    OmegaConf.update(plain, "output_dir", "")
    text = json.dumps(to_container(plain), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def tabulate(folder: Path, by: Sequence[str] = ()) -> str:
    """Write the table of a sweep, ``table.md`` and ``table.csv``; returns the Markdown.

    A row per choice of the keys in ``by``: number of runs, mean and standard deviation (of the sample) of the scores.

    Args:
        folder: Of the sweep, or one above several.
        by: Overridden keys; all that differ between runs, but the seed, if left out.

    Raises:
        DatasetError: If no run in the folder is done.
        ConfigError: If a key was overridden in no run.
        OutputError: If the table cannot be written.
    """
    runs = [run for path in sorted(folder.rglob(FINISHED), key=_natural) for run in _read(path)]
    if not runs:
        raise DatasetError(f"No finished run of a sweep under '{folder}'. Name the folder of a sweep (-m).")
    keys = list(dict.fromkeys(key for run in runs for key in run.choices))
    if unknown := [key for key in by if key not in keys]:
        raise ConfigError(f"--by {', '.join(unknown)}: overridden in no run; choose from {', '.join(keys)}")
    different = [key for key in keys if len({run.choices.get(key) for run in runs}) > 1]
    rows = list(by) or [key for key in different if key != SEED] or [key for key in keys if key != SEED][:1]
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(run.choices.get(key, "") for key in rows), []).append(run)
    names = list(dict.fromkeys(name for run in runs for name in run.scores))
    heads = [*rows, "n", *(head for name in names for head in (HEADS.get(name, name), "std"))]
    cells = [[*row, *_summary(found, names)] for row, found in groups.items()]
    text = _markdown(heads, cells, len(rows))
    with replacing(folder / "table.md") as draft:
        draft.write_text(text, encoding="utf-8")
    with replacing(folder / "table.csv") as draft:
        draft.write_text(_csv(heads, cells), encoding="utf-8")
    return text


def _natural(path: Path) -> tuple[tuple[int, str], ...]:
    """Run 10 comes behind run 9."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in path.parts)


def _read(path: Path) -> Iterator[Run]:
    """The scores of one run: of its tests, of its evaluation, or the best of validation.

    Of the robustness benchmark they are Q_c, Q of each perturbed set, Q_p and R_p.
    """
    noted = json.loads(path.read_text())
    pairs = (override.lstrip("+").partition("=") for override in noted["overrides"] if not override.startswith("~"))
    choices = {key: value for key, _, value in pairs}
    own = [found for name in RESULTS if (found := path.parent / name).is_file()]
    tests = [] if own else [found for name in RESULTS for found in sorted(path.parent.glob(f"tests/*/{name}"))]
    for result in own or tests:
        where = {} if own else {TEST: result.parent.name}
        yield Run({**choices, **where}, _scores(json.loads(result.read_text())))
    if not own and not tests:
        yield Run(choices, {} if noted["value"] is None else {"best": noted["value"]})


def _scores(results: Mapping[str, Any]) -> dict[str, float]:
    if "q_p" in results:
        figures = {"q_c": results["q_c"]} | {name: found["j_and_f"] for name, found in results["sets"].items()}
        figures |= {name: results[name] for name in ("q_p", "r_p")}
        return {name: float(found["value"]) for name, found in figures.items()}
    return {name: float(results[name]) for name in SCORES if results.get(name) is not None}


def _summary(runs: Sequence[Run], names: Sequence[str]) -> list[float | int | None]:
    """Number of runs, then mean and deviation of each score."""
    cells: list[float | int | None] = [len(runs)]
    for name in names:
        values = [run.scores[name] for run in runs if name in run.scores]
        cells.append(statistics.fmean(values) if values else None)
        cells.append(statistics.stdev(values) if len(values) > 1 else None)
    return cells


def _markdown(heads: Sequence[str], cells: Sequence[Sequence[Any]], labels: int) -> str:
    shown = [[cell if i < labels else _figure(cell) for i, cell in enumerate(row)] for row in cells]
    rule = ["---"] * labels + ["---:"] * (len(heads) - labels)
    lines = [heads, rule, *shown]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _figure(value: float | int | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _csv(heads: Sequence[str], cells: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(["" if cell is None else cell for cell in row] for row in cells)
    return text.getvalue()
