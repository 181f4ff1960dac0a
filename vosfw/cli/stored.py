"""What a checkpoint says of its model and engine, as a choice that overrides apply on top of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.core.config_store import ConfigStore

from vosfw.config import ENGINE_PREFIX, MODEL_PREFIXES, check_targets, compose, config_dir, instantiate_engine
from vosfw.engine.engine import Engine
from vosfw.errors import ConfigError
from vosfw.hub import EMBEDDED, Checkpoint, read_checkpoint
from vosfw.interfaces import Segmenter

STORED = "checkpoint"
"""Name of the config choice that stands for what a checkpoint says of its model and engine."""


def with_checkpoint(arguments: list[str]) -> list[str]:
    """The arguments, with model and engine of the checkpoint that ``ckpt_path=`` names as the choices to start from.

    Without ``ckpt_path=``, ``model=`` and an experiment with a model it is the embedded network's.
    They become choices of Hydra's groups, so that ``engine.policy.every=3`` or ``engine/corrector=...`` apply on top.

    Raises:
        CheckpointError: If the checkpoint cannot be read or its configuration is refused.
    """
    if not any(argument.startswith(("ckpt_path=", "model=")) for argument in arguments) and not _has_model(arguments):
        arguments = [*arguments, f"ckpt_path='{EMBEDDED}'"]
    given = [i for i, argument in enumerate(arguments) if argument.startswith("ckpt_path=")]
    text = arguments[given[-1]].partition("=")[2].strip("'\"") if given else "null"
    if text in ("", "null"):
        return arguments
    # In a sweep over checkpoints the first one stands for all; each is compared with its own weights later.
    stored = read_checkpoint(Path(text.split(",")[0]))
    trusted = any(argument == "trust_targets=true" for argument in arguments)
    place = given[-1] + 1
    return [*arguments[:place], *offer(stored, arguments, trusted=trusted), *arguments[place:]]


def offer(stored: Checkpoint, arguments: Sequence[str], *, trusted: bool = False) -> list[str]:
    """Make model and engine of a checkpoint choices; returns the overrides that choose them."""
    extra = []
    for group, content, prefixes, base in (
        ("model", stored.model, MODEL_PREFIXES, torch.nn.Module),
        ("engine", stored.engine, (ENGINE_PREFIX,), object),
    ):
        chosen = [argument for argument in arguments if argument.startswith(f"{group}=")]
        if content is None or (chosen and chosen != [f"{group}={STORED}"]):
            continue
        if not trusted:
            check_targets(content, prefixes, base)
        store(group, content)
        extra += [] if chosen else [f"{group}={STORED}"]
    return extra


def engine_of(model: Segmenter[Any], overrides: Sequence[str]) -> Engine:
    """A loaded network's engine with changes, such as ``engine.clip_length=10`` or ``engine/corrector=gradient``.

    Raises:
        ConfigError: If an override is unknown, or changes anything but the engine.
    """
    for override in overrides:
        if not override.startswith(("engine.", "engine/", "engine=")):
            raise ConfigError(f"{override!r} is no engine option; wanted engine.NAME=VALUE or engine/PART=CHOICE")
    stored = (model.composition or {}).get("engine")
    if stored is not None:
        store("engine", stored)
        overrides = [f"engine={STORED}", *overrides]
    engine: Engine = instantiate_engine(compose(overrides, "evaluate").engine)
    return engine


def _has_model(arguments: Sequence[str]) -> bool:
    """Whether an experiment among the arguments says which network is evaluated."""
    experiments = [argument for argument in arguments if argument.startswith("experiment=")]
    if not experiments:
        return False
    try:
        chosen, plain = compose(experiments, "evaluate"), compose((), "evaluate")
    except ConfigError:
        return True  # which is reported where everything is composed
    return chosen.ckpt_path is not None or bool(chosen.model != plain.model)


def store(group: str, content: Mapping[str, Any]) -> None:
    """Offer a stored configuration as the choice ``checkpoint`` of a group; its parts become choices of theirs.

    What it leaves out is as in the group's ``default``, if there is one.
    """
    parts = [key for key, value in content.items() if isinstance(value, Mapping) and "_target_" in value]
    base = (config_dir() / group / "default.yaml").is_file()
    defaults: list[Any] = ["default"] if base else []
    for key in parts:
        known = base and (config_dir() / group / key).is_dir()
        defaults.append({f"override {key}" if known else key: STORED})
        store(f"{group}/{key}", content[key])
    rest = {key: value for key, value in content.items() if key not in (*parts, "defaults")}
    ConfigStore.instance().store(name=STORED, group=group, node={"defaults": [*defaults, "_self_"], **rest})
