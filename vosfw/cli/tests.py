"""Evaluations at the end of a training."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from vosfw.cli.evaluate import evaluate
from vosfw.config import choose, compose, config_dir, instantiate, to_container
from vosfw.errors import ConfigError

logger = logging.getLogger(__name__)

GROUPS = ("model", "engine", "data", "metrics")
"""What a test takes over from the training, and may change."""
OWN = ("robustness", "resume")
"""Options of evaluate.yaml that a test may have: ``/experiment@tests.NAME: robustness`` makes it that benchmark."""


def run_tests(config: DictConfig, checkpoint: Path) -> dict[str, float | None]:
    """Evaluate a checkpoint as each of ``config.tests`` says; returns J&F by test, or Q_p of the robustness benchmark.

    The results are in ``tests/<name>`` of the run, as evaluate.py leaves them, but without masks.

    Args:
        config: Of the training; ``run_dir`` is set.
        checkpoint: What it wrote.
    """
    base = compose((), "evaluate")
    found = {}
    # Here, where options of the training that they name are known.
    for name, changes in to_container(config.tests).items():
        if changes is None:
            continue
        with open_dict(base):
            for group in GROUPS:
                plain = OmegaConf.create(to_container(config[group]))
                base[group] = changed(group, plain, changes.get(group) or {})
            base.callbacks = {}
            base.trainer.accelerator = config.trainer.accelerator
            base.trainer.precision = config.trainer.precision
            base.trainer.devices = 1
            base.ckpt_path, base.seed, base.quiet = str(checkpoint), config.seed, True
            base.robustness, base.resume = changes.get("robustness"), changes.get("resume", False)
            base.run_dir = str(Path(config.run_dir) / "tests" / str(name))
        found[str(name)] = evaluate(base)
        logger.info("test %s: %s %s", name, "J&F" if base.robustness is None else "Q_p", found[str(name)])
    return found


def changed(group: str, plain: DictConfig, changes: DictConfig | dict[str, Any]) -> DictConfig:
    """A group's configuration with a test's changes.

    A part may be changed by name as on the command line: ``perturbation: gaussian_noise``, or with options
    ``perturbation: {name: gaussian_noise, severity: 4}``.

    Raises:
        ConfigError: If a name or one of its options is unknown.
    """
    options = to_container(OmegaConf.create(changes))
    named = {
        key: choose(f"{group}/{key}", value)
        for key, value in options.items()
        if (isinstance(value, str) or (isinstance(value, dict) and "name" in value))
        and (config_dir() / group / key).is_dir()
    }
    found: Any = OmegaConf.merge(plain, {key: value for key, value in options.items() if key not in named})
    found.update(named)
    return DictConfig(found)


def check_tests(config: DictConfig, processes: int) -> None:
    """Refuse tests that cannot be run.

    Raises:
        ConfigError: Saying why; also if a part or a perturbation is unknown.
    """
    tests = to_container(config.tests)
    if all(changes is None for changes in tests.values()):
        return
    if processes > 1:
        raise ConfigError(
            f"tests run in one process, this training has {processes}: set tests.NAME=null and use evaluate.py after it"
        )
    if config.callbacks.get("last") is None:
        raise ConfigError("tests need the last checkpoint: keep callbacks.last, or set tests.NAME=null")
    for name, changes in tests.items():
        if unknown := sorted(set(changes or {}) - {*GROUPS, *OWN}):
            raise ConfigError(f"tests.{name} changes {', '.join(unknown)}; wanted some of {', '.join(GROUPS + OWN)}")
        for group, own in (changes or {}).items():
            if group in OWN:
                continue
            merged = changed(group, OmegaConf.create(to_container(config[group])), own or {})
            if group == "data" and merged.get("perturbation") is not None:
                instantiate(merged.perturbation)
