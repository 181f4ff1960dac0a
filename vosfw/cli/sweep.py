"""What a run notes when it ends: those of a sweep that are done are not repeated."""

import hashlib
import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from vosfw.config import to_container
from vosfw.data.files import replacing

FINISHED = "finished.json"
"""In the folder of every run that is done: its overrides, its configuration's checksum, and the value it returned."""
STARTED = "started.json"
"""In the folder of every run: its configuration's checksum, from its start on."""
FAILED = "failed.json"
"""In the folder of every run that an error ended: its overrides and the error."""
RESULTS = ("results.json", "robustness.json")
"""What evaluations leave."""


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


def start(folder: Path, config: DictConfig) -> bool:
    """Note that a run starts; returns whether a run with this very configuration was started there before.

    Raises:
        OutputError: If that cannot be written.
    """
    path, own = folder / STARTED, checksum(config)
    if path.is_file() and json.loads(path.read_text()).get("config") == own:
        return True
    with replacing(path) as draft:
        draft.write_text(json.dumps({"config": own}) + "\n")
    return False


def go_on(folder: Path, config: DictConfig) -> list[str]:
    """Let a run that was stopped go on where it was: from its last checkpoint, or behind the videos that are scored.

    A checkpoint counts if it was written since the run with this configuration was started.

    Returns:
        Overrides by which further processes of the run do the same.
    """
    last, note = folder / "checkpoints" / "last.ckpt", folder / STARTED
    if "resume" in config:
        config.resume = True
        return ["resume=true"]
    anew = config.get("ckpt_path") is None or config.get("start") == "weights"
    if anew and last.is_file() and last.stat().st_mtime >= note.stat().st_mtime:
        config.ckpt_path = "last"
        return ["ckpt_path=last"]
    return []


def fail(folder: Path, overrides: Sequence[str], error: BaseException) -> None:
    """Note that a run failed, and why.

    Raises:
        OutputError: If that cannot be written.
    """
    lines = str(error).strip().splitlines() or [""]
    noted = {"overrides": list(overrides), "error": f"{type(error).__name__}: {lines[0]}", "message": str(error)}
    with replacing(folder / FAILED) as draft:
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


def planned(sweep: Path) -> list[list[str]]:
    """The overrides of each job that a sweep is to run, which Hydra's own sweeper tells beforehand; none of others."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    hydra = hydra_yaml(sweep / "multirun.yaml")
    params = [f"{key}={value}" for key, value in (hydra.get("sweeper", {}).get("params") or {}).items()]
    wanted = OverridesParser.create().parse_overrides([*params, *hydra.get("overrides", {}).get("task", [])])
    if any(override.is_sweep_override() and not override.is_discrete_sweep() for override in wanted):
        return []
    jobs: list[list[str]] = BasicSweeper.split_arguments(wanted, None)[0]
    return jobs


def parsed(overrides: Sequence[str]) -> dict[str, str]:
    """Overrides by key; those that take something away are left out."""
    pairs = (text.lstrip("+").partition("=") for text in overrides if not text.startswith("~"))
    return {key: value for key, _, value in pairs}


def hydra_yaml(path: Path) -> dict[str, Any]:
    """Hydra's part of its own notes, which are long: read by the fast parser, if there is one."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, Any] = (yaml.load(path.read_text(), loader) or {}) if path.is_file() else {}
    return found.get("hydra") or {}
