"""What runs left in their folders: options, seed, scores, or why there are none."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vosfw.cli.results import RESULTS, SCORES, read_results
from vosfw.cli.stored import STORED
from vosfw.cli.sweep import FAILED, FINISHED, hydra_yaml, parsed, planned
from vosfw.errors import DatasetError

BEST = "best"
"""Best J&F of validation: the score of a run that was neither tested nor evaluated."""
PLACES = ("run_dir", "output_dir")


class Run(NamedTuple):
    """One evaluation of a run, or one that is missing."""

    where: str
    overrides: Mapping[str, str]
    """As the run was started with, by key."""
    choices: Mapping[str, str]
    """What each config group was set to, such as ``model/matcher: pixel``."""
    config: Mapping[str, Any]
    """Resolved, as far as it can be."""
    seed: str
    test: str = ""
    """Name of one of the run's tests; empty for an evaluation or a validation."""
    changes: Mapping[str, Any] = {}
    """What the test changes in the configuration."""
    scores: Mapping[str, float] = {}
    results: Mapping[str, Any] = {}
    """Of an evaluation, with its sequences."""
    problem: str = ""
    """Why there is no score."""
    time: float = 0.0
    """When it was scored."""
    siblings: tuple["Run", ...] = ()
    """Of a job that was not started: the others of its sweep, which tell what it was not told itself."""

    def value(self, key: str) -> str | None:
        """What an option (``engine.corrector.steps``) or a choice (``model/matcher``) was; None if it has none."""
        if self.siblings:
            told = {run.value(key) for run in self.siblings}
            own = self.overrides.get(key, self.overrides.get(key.replace(".", "/")))
            return written(yaml.safe_load(own)) if own is not None else told.pop() if len(told) == 1 else "?"
        choice = self.choices.get(key.replace(".", "/"))
        for config in (self.changes, self.config):
            found = select(config, key.replace("/", "."))
            if isinstance(found, Mapping) and "_target_" in found:
                known = choice not in (None, STORED) and config is self.config
                return choice if known else str(found["_target_"]).rpartition(".")[2]
            if isinstance(found, Mapping) and config is self.changes:
                found = found.get("name", MISSING)
            if found is not MISSING and not isinstance(found, Mapping):
                return choice if found is None and choice else written(found)
        return choice if choice is not None else self.overrides.get(key)


MISSING = object()


def select(config: Mapping[str, Any], key: str) -> Any:
    """What stands under ``a.b.c``; MISSING if nothing does."""
    found: Any = config
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return MISSING
        found = found[part]
    return found


def written(value: Any) -> str:
    """A value of an option as one would write it."""
    if isinstance(value, str):
        try:
            return f"{float(value):g}" if "e" in value.lower() else value
        except ValueError:
            return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, default=str)


def gather(folder: Path) -> list[Run]:
    """All runs in a folder, at any depth, and the jobs of its sweeps that were not started.

    Raises:
        DatasetError: If there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise DatasetError(f"'{folder}' is no folder. Name a run's, a sweep's, or wandb:ENTITY/PROJECT.")
    places = sorted({path.parent.parent for path in folder.rglob(".hydra/overrides.yaml")}, key=natural)
    found = {place: list(read(place)) for place in places}
    sweeps = [path.parent for path in sorted(folder.rglob("multirun.yaml"), key=natural)]
    runs = [run for place in places for run in found[place]]
    for sweep in sweeps:
        runs += not_started(sweep, [run for place in places if sweep in place.parents for run in found[place]])
    return runs


def natural(path: Path) -> tuple[tuple[int, str], ...]:
    """Run 10 comes behind run 9."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in path.parts)


def read(folder: Path) -> Iterator[Run]:
    """The evaluations of one run, by test; one without scores if it failed or did not finish."""
    base, mode = recorded(folder)
    own = [path for name in RESULTS if (path := folder / name).is_file()]
    tests = {
        str(name): changes for name, changes in sorted((base.config.get("tests") or {}).items()) if changes is not None
    }
    done = {name: [p for r in RESULTS if (p := folder / "tests" / name / r).is_file()] for name in tests}
    if problem := state(folder, mode, bool(own) or (bool(tests) and all(done.values()))):
        yield from (base._replace(test=name, changes=tests[name], problem=problem) for name in tests)
        if not tests:
            yield base._replace(problem=problem)
        return
    if own:
        yield scored(base, own)
    # J&F comes before the benchmark of robustness, in rows as in columns.
    for name, paths in sorted(done.items(), key=lambda item: [path.name != RESULTS[0] for path in item[1]]):
        if paths and not own:
            yield scored(base._replace(test=name, changes=tests[name]), paths)
    if not own and not any(done.values()):
        note = folder / FINISHED
        value = json.loads(note.read_text())["value"] if note.is_file() else None
        scores = {} if value is None else {BEST: float(value)}
        yield base._replace(scores=scores, problem="" if scores else "finished, but scored nowhere", time=_time(note))


def recorded(folder: Path) -> tuple[Run, str]:
    """A run's options and the mode it was started in; an evaluation has those of the training that it scores, too."""
    overrides = parsed(yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text()) or [])
    config = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert isinstance(config, DictConfig)
    hydra = hydra_yaml(folder / ".hydra" / "hydra.yaml")
    choices = {key: str(value) for key, value in hydra.get("runtime", {}).get("choices", {}).items()}
    plain = resolved(config)
    seed, checkpoint = str(plain.get("seed")), Path(str(plain.get("ckpt_path") or ""))
    training = checkpoint.parent.parent
    if not plain.get("tests") and (training / ".hydra" / "overrides.yaml").is_file() and training != folder:
        before, _ = recorded(training)
        choices = {**before.choices, **{key: value for key, value in choices.items() if value != STORED}}
        seed = seed if "seed" in overrides else before.seed
        overrides = {**before.overrides, **{key: text for key, text in overrides.items() if key != "ckpt_path"}}
        plain = {**before.config, **plain, "ckpt_path": None}
    return Run(str(folder), overrides, choices, plain, seed), str(hydra.get("mode"))


def resolved(config: DictConfig) -> dict[str, Any]:
    """Plain containers; what can no longer be resolved stays as it is written."""
    for key in PLACES:
        OmegaConf.update(config, key, "", force_add=True)
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:
        plain = OmegaConf.to_container(config)
    return {str(key): value for key, value in plain.items()}


def state(folder: Path, mode: str, scored: bool) -> str:
    """Why a run has no score that counts; empty if it is done."""
    if (folder / FAILED).is_file():
        return f"failed: {json.loads((folder / FAILED).read_text())['error']}"
    # A single run of an earlier version leaves no note.
    done = (folder / FINISHED).is_file() or (scored and not mode.endswith("MULTIRUN"))
    return "" if done else "not finished"


def scored(run: Run, paths: Sequence[Path]) -> Run:
    """A run with what its files of results say. Of the robustness benchmark: Q_c, Q of each perturbed set, Q_p, R_p."""
    scores: dict[str, float] = {}
    results: dict[str, Any] = {}
    for path in paths:
        try:
            content = read_results(path)
        except DatasetError as error:
            return run._replace(problem=str(error), time=_time(path))
        if "q_p" in content:
            figures = {"q_c": content["q_c"]} | {name: found["j_and_f"] for name, found in content["sets"].items()}
            figures |= {name: content[name] for name in ("q_p", "r_p")}
            scores |= {name: float(found["value"]) for name, found in figures.items()}
        else:
            results = content
            scores |= {name: float(content[name]) for name in SCORES if content.get(name) is not None}
    problem = "" if scores else "evaluated on videos without a truth"
    return run._replace(scores=scores, results=results, problem=problem, time=max(map(_time, paths)))


def not_started(sweep: Path, runs: Sequence[Run]) -> Iterator[Run]:
    """The jobs of a sweep that have no folder."""
    started = [set(run.overrides.items()) for run in runs]
    tests = {run.test: run.changes for run in runs}
    for job in planned(sweep) if runs else ():
        own = parsed(job)
        if set(own.items()) not in started:
            seed = own.get("seed", runs[0].seed)
            for test, changes in tests.items():
                same = tuple(run for run in runs if run.test == test)
                yield Run(str(sweep), own, {}, {}, seed, test, changes, problem="not started", siblings=same)


def _time(path: Path) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0
