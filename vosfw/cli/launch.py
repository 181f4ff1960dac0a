"""Runs a task under Hydra for the scripts and the ``vosfw`` command: one clear message per error, no traceback."""

import difflib
import functools
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vosfw.cli.cluster import awaited, check_launcher
from vosfw.cli.job import Task, noted, part_of_sweep
from vosfw.cli.processes import agreed, alone, check_alone, restarted, started_by
from vosfw.config import compose, config_dir, with_engine
from vosfw.errors import CheckpointError, ConfigError, OutputError, VosfwError


def launch(task: Task, config_name: str, arguments: Sequence[str], script: str) -> int:
    """Compose a configuration from command line arguments and run a task with it.

    Args:
        task: Called with the configuration, whose ``run_dir`` exists by then.
        config_name: ``train`` or ``evaluate``.
        arguments: Overrides and flags as Hydra takes them.
        script: File to start further processes from (several GPUs), when this one was not started from a script.

    Returns:
        Exit code: 0, 1 for an error in the run, 2 for a configuration that does not compose.
    """
    arguments = with_engine(arguments, config_name)
    options = get_args_parser().parse_args(arguments)
    own_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    try:
        shown = options.cfg or options.info
        launcher = "" if shown else check_launcher(options.overrides, multirun=options.multirun)
        if options.multirun:
            check_alone()
        elif not (options.help or options.hydra_help or options.config_dir or options.config_name):
            config = composed(config_name, options.overrides)
            if not shown:
                own = resumed(config, options.overrides)
                arguments += [*own, *agreed(config, [*options.overrides, *own])]
                check_writable(Path(config.run_dir))
    except VosfwError as error:
        if own_error:
            raise
        return report(error, 2)
    script = script_of(script)

    @functools.wraps(task)
    def guarded(config: DictConfig) -> float | None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        own = HydraConfig.get()
        OmegaConf.update(config, "run_dir", own.runtime.output_dir)
        if own.mode == RunMode.MULTIRUN:
            with alone(script, own):
                return part_of_sweep(task, config, own)
        try:
            return noted(task, config, own.overrides.task, again=restarted())
        except VosfwError as error:
            if own_error:
                raise
            raise SystemExit(report(error, 1)) from error

    try:
        with borrowed([script, *arguments]), awaited(launcher):
            hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(guarded)()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@contextmanager
def borrowed(argv: list[str]) -> Iterator[None]:
    """Let Hydra read ``argv`` and set up logging, and put both back."""
    root = logging.getLogger()
    saved = root.handlers[:], root.level
    try:
        with started_by(argv):
            yield
    finally:
        own = root.handlers
        root.handlers, level = saved
        root.setLevel(level)
        for handler in own:
            if handler not in root.handlers:
                handler.close()


def report(error: VosfwError, code: int) -> int:
    """Tell the user about an error; returns the exit code."""
    print(f"vosfw: {type(error).__name__}: {error}", file=sys.stderr)
    return code


def composed(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration, with the nearest known keys listed if one is unknown.

    Raises:
        ConfigError: If it does not compose.
    """
    try:
        return compose(overrides, config_name)
    except ConfigError as error:
        known = list(_keys(compose((), config_name)))
        hints = []
        for override in overrides:
            key = override.partition("=")[0]
            if (
                "=" in override
                and key[:1] not in "+~"
                and "/" not in key
                and "@" not in key
                and key not in known
                and key in str(error)
            ):
                near = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
                near += [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]][:3]
                if near and not key.startswith("hydra."):
                    hints.append(f"{key}: no such key; did you mean {' or '.join(dict.fromkeys(near))}?")
        text = str(error).partition("\nConfig search path")[0].rstrip()
        raise ConfigError("\n".join([*hints, text])) from error
    except OmegaConfBaseException as error:
        raise ConfigError(str(error)) from error


def _keys(config: Any, prefix: str = "") -> Iterator[str]:
    for key in config:
        yield f"{prefix}{key}"
        if OmegaConf.is_dict(config) and OmegaConf.is_dict(config._get_node(key)) and config._get_node(key):
            yield from _keys(config._get_node(key), f"{prefix}{key}.")


def resumed(config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """The override that leads ``ckpt_path=last`` back into the newest run, unless a run is named.

    Raises:
        CheckpointError: If there is none.
    """
    if config.get("ckpt_path") != "last" or any(o.startswith(("run_dir=", "hydra.run.dir=")) for o in overrides):
        return []
    checkpoints = list(Path(config.output_dir).rglob("checkpoints/last.ckpt"))
    if not checkpoints:
        raise CheckpointError(
            f"ckpt_path=last, but no run under {Path(config.output_dir).absolute()} has a checkpoints/last.ckpt. "
            "Name the run with run_dir=..., or leave ckpt_path out to start one."
        )
    newest = max(checkpoints, key=lambda path: path.stat().st_mtime)
    return [f"run_dir='{newest.parent.parent}'"]


def check_writable(folder: Path) -> None:
    """Refuse an output folder that cannot be made or written to.

    Raises:
        OutputError: Naming the part of the path that is in the way.
    """
    ancestor = folder.absolute()
    while not ancestor.exists() and not ancestor.is_symlink() and ancestor != ancestor.parent:
        ancestor = ancestor.parent
    if not ancestor.is_dir():
        raise OutputError(f"cannot write to '{folder}': '{ancestor}' is no folder. Choose another run_dir.")
    if not os.access(ancestor, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to '{folder}': no permission in '{ancestor}'. Choose another run_dir.")


def script_of(fallback: str) -> str:
    """What Lightning is to start further processes with."""
    name = sys.argv[0]
    return name if name.endswith(("train.py", "evaluate.py")) and Path(name).is_file() else fallback
