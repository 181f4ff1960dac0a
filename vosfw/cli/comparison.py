"""Runs as the rows of a table: scores over seeds, and differences from one of the rows."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from vosfw.cli.runs import BEST, PLACES, Run
from vosfw.errors import ConfigError, DatasetError
from vosfw.metrics.bootstrap import Difference, ObjectScore, object_scores, paired_difference

SEED = "seed"
TEST = "test"
"""Column of the names of the tests (``tests`` in ``train.yaml``)."""
MEMORY = ("peak_gpu_memory_mib", "peak_cpu_memory_mib")
OWN = (*PLACES, SEED, TEST, "tests", "logger", "reuse", "figure", "ckpt_path", "code", "choices", "trainer.accelerator")
"""Options that make no other run."""


class Row(NamedTuple):
    """The runs of one combination of options."""

    labels: tuple[str, ...]
    runs: tuple[Run, ...]
    """One per seed."""
    missing: dict[str, str]
    """Why there is no run of a seed."""
    notes: tuple[str, ...]

    def mean(self, name: str) -> tuple[float | None, float | None]:
        """Mean and deviation of the sample of a score, or of a figure that stands beside the scores."""
        values = [
            float(found) for run in self.runs if (found := run.scores.get(name, run.results.get(name))) is not None
        ]
        spread = statistics.stdev(values) if len(values) > 1 else None
        return (statistics.fmean(values), spread) if values else (None, None)


def columns(runs: Sequence[Run], by: Sequence[str]) -> list[str]:
    """The options that rows stand for: ``by``, or all overridden ones that differ, or the first one.

    Raises:
        ConfigError: If no run has one of ``by``.
    """
    keys = list(dict.fromkeys(key for run in runs for key in run.overrides))
    keys = [key for key in keys if key not in OWN and not key.startswith("hydra.")]
    if unknown := [key for key in by if key != TEST and all(run.value(key) in (None, "?") for run in runs)]:
        raise ConfigError(f"--by {', '.join(unknown)}: in no run; overridden were {', '.join(keys) or 'none'}")
    if by:
        return list(by)
    tests = [TEST] if len({run.test for run in runs}) > 1 else []
    return [key for key in keys if len({run.value(key) for run in runs}) > 1] or tests or keys[:1]


def arrange(runs: Sequence[Run], keys: Sequence[str], seeds: Iterable[str] = ()) -> tuple[list[str], list[Row]]:
    """The heads of the label columns, and the rows.

    Raises:
        ConfigError: If a row has two runs of a seed that differ in options that make no column.
        DatasetError: If runs of a row were scored on different videos.
    """
    heads = [*keys]
    if TEST not in heads and _several({(_labels(run, keys), run.seed): run.test for run in runs}, runs, keys):
        heads.append(TEST)
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(_labels(run, heads), []).append(run)
    rows = {labels: _row(labels, found, heads) for labels, found in groups.items()}
    wanted = list(seeds) or sorted({run.seed for row in rows.values() for run in row.runs}, key=_order)
    wanted = wanted if seeds else sorted({*wanted, *(s for row in rows.values() for s in row.missing)}, key=_order)
    full = []
    for row in rows.values():
        if not row.runs and not row.missing:
            continue
        own = tuple(run for run in row.runs if run.seed in wanted)
        have = {run.seed for run in own}
        full.append(row._replace(runs=own, missing={s: row.missing.get(s, "no run") for s in wanted if s not in have}))
    return heads, full


def _row(labels: tuple[str, ...], runs: Sequence[Run], heads: Sequence[str]) -> Row:
    found, missing, notes = [], {}, []
    for seed in sorted({run.seed for run in runs}, key=_order):
        own = sorted((run for run in runs if run.seed == seed), key=lambda run: run.time)
        scored = [run for run in own if not run.problem and run.scores]
        if any(set(run.scores) != {BEST} for run in scored):
            scored = [run for run in scored if set(run.scores) != {BEST}]
        if not scored:
            # What a training that others are scored with does not have is not missing.
            problems = [run.problem for run in own if run.problem and run.problem != "finished, but scored nowhere"]
            notes += [f"{run.where}: {run.problem}" for run in own if not problems and run.problem]
            if problems:
                missing[seed] = problems[-1]
            continue
        for run in scored[:-1]:
            if other := different(run, scored[-1]):
                raise ConfigError(
                    f"row {_name(labels)}, seed {seed}: {run.where} and {scored[-1].where} differ in "
                    f"{', '.join(other[:8])}. Add one of them to --by, or leave out one of the runs."
                )
            notes.append(f"seed {seed}: of {len(scored)} runs the newest, {scored[-1].where}, not {run.where}")
        found.append(scored[-1])
    sets = {videos(run): run for run in found if run.results}
    if len(sets) > 1:
        one, two = list(sets.values())[:2]
        raise DatasetError(
            f"row {_name(labels)}: {one.where} and {two.where} were scored on different videos "
            f"({_gap(videos(one), videos(two))}). Evaluate both on the same ones, or add what differs to --by."
        )
    return Row(labels, tuple(found), missing, tuple(notes))


def compare(row: Row, base: Row, metric: str) -> tuple[Difference | None, str]:
    """How much better a row is than another by a paired bootstrap over videos; or None and why not.

    Of each object the mean over the seeds that both have is compared.
    """
    ours, theirs = ({run.seed: run for run in each.runs if run.results.get("sequences")} for each in (row, base))
    seeds = [seed for seed in ours if seed in theirs]
    if not ours or not theirs:
        return None, ""
    if not seeds:
        return None, "not compared: no seed in common"
    one, two = ours[seeds[0]], theirs[seeds[0]]
    if videos(one) != videos(two):
        return None, f"not compared: scored on other videos ({_gap(videos(one), videos(two))})"
    if one.results.get("protocol") != two.results.get("protocol"):
        return None, f"not compared: scored by {one.results.get('protocol')}, not {two.results.get('protocol')}"
    if metric not in one.scores or len(videos(one)) < 2:
        return None, "not compared: a bootstrap wants two videos" if metric in one.scores else ""
    scores = [_mean([object_scores(found[seed].results, metric) for seed in seeds]) for found in (ours, theirs)]
    note = f"compared by seeds {', '.join(seeds)}" if len(seeds) < max(len(ours), len(theirs)) else ""
    return paired_difference(scores[0], scores[1], protocol=str(one.results.get("protocol"))), note


def _mean(runs: Sequence[Mapping[str, Sequence[ObjectScore]]]) -> dict[str, list[ObjectScore]]:
    return {
        name: [
            ObjectScore(statistics.fmean(run[name][i].score for run in runs), found.group)
            for i, found in enumerate(objects)
        ]
        for name, objects in runs[0].items()
    }


def videos(run: Run) -> tuple[tuple[str, tuple[str, ...], int], ...]:
    """What was scored: videos, their objects and numbers of frames."""
    found = run.results.get("sequences", {})
    return tuple(
        sorted((name, tuple(sorted(each["objects"])), len(each.get("frames", ()))) for name, each in found.items())
    )


def different(one: Run, two: Run) -> list[str]:
    """Options that make two runs others, by what they recorded."""
    flat = [dict(_flat(run.config)) | {f"tests.{TEST}": run.test} for run in (one, two)]
    keys = [key for key in {**flat[0], **flat[1]} if not any(key == own or key.startswith(f"{own}.") for own in OWN)]
    return [key for key in keys if flat[0].get(key) != flat[1].get(key)]


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _labels(run: Run, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(run.test if key == TEST else run.value(key) or "" for key in keys)


def _several(first: Mapping[tuple[Any, str], str], runs: Sequence[Run], keys: Sequence[str]) -> bool:
    """Whether a row would hold several tests of one seed."""
    return any(first[_labels(run, keys), run.seed] != run.test for run in runs)


def _gap(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> str:
    one, two = ({each[0] for each in found} for found in (ours, theirs))
    if odd := sorted(one ^ two):
        return f"{len(one)} and {len(two)}; only in one: {', '.join(odd[:4])}{', …' if len(odd) > 4 else ''}"
    return "the same names with other objects or frames"


def _name(labels: Sequence[str]) -> str:
    return ",".join(labels) or "(all)"


def _order(seed: str) -> tuple[int, str]:
    return (int(seed), "") if seed.isdigit() else (-1, seed)
