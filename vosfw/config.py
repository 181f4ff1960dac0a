"""Configurations: where they are, how they are composed, and which of them may be turned into objects."""

import difflib
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from vosfw.errors import CheckpointError, ConfigError
from vosfw.interfaces import Segmenter

MODEL_PREFIXES = ("vosfw.model.", "torch.nn.modules.")
ENGINE_PREFIX = "vosfw.engine."


def config_dir() -> Path:
    """The folder ``configs/``: of the checkout, or the copy inside an installed wheel."""
    package = Path(__file__).resolve().parent
    for folder in (package / "_configs", package.parent / "configs"):
        if (folder / "train.yaml").is_file():
            return folder
    raise ConfigError(f"no configs/ beside or inside {package}: the installation is incomplete; install vosfw again")


def choices(group: str) -> list[str]:
    """Names that a config group offers, such as ``choices("model")``."""
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


def compose(overrides: Sequence[str] = (), config_name: str = "train") -> DictConfig:
    """Compose a configuration as ``train.py`` would, in a Hydra context of its own; also from within a run of Hydra.

    Args:
        overrides: As on the command line, such as ``["model=stcn", "engine.policy.every=3"]``.
        config_name: ``train`` or ``evaluate``.

    Raises:
        ConfigError: If a key or choice is unknown; the nearest known choices are listed.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    overrides = with_engine(overrides, config_name)
    around = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            config: DictConfig = hydra_compose(config_name, overrides=overrides)
            return config
    except HydraException as error:
        raise ConfigError(explain(str(error), overrides)) from error
    finally:
        GlobalHydra.instance().hydra = around


def choose(group: str, wanted: str | Mapping[str, Any]) -> DictConfig:
    """What a choice of a config group stands for, outside the lists of defaults.

    Args:
        group: Such as ``data/perturbation``.
        wanted: The name of a choice, or ``{name: choice, option: value, ...}``.

    Raises:
        ConfigError: If the choice or an option is unknown; the nearest known choices are listed.
    """
    options = {"name": wanted} if isinstance(wanted, str) else dict(wanted)
    if not isinstance(name := options.pop("name", None), str):
        raise ConfigError(f"{group}: got {wanted}; wanted the name of a choice, or {{name: choice, option: value}}")
    if name not in (known := choices(group)):
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(f"{group}={name}: no such choice{hint} There are {', '.join(known)}.")
    part = compose([f"+{group}@part={name}"], "evaluate").part
    if unknown := [key for key in options if key not in part]:
        own = ", ".join(key for key in part if key != "_target_") or "none"
        raise ConfigError(f"{group}: {name} has no option {', '.join(unknown)}; it has {own}")
    return OmegaConf.merge(part, options)  # type: ignore[return-value]


def with_engine(overrides: Sequence[str], config_name: str) -> list[str]:
    """The overrides, and with ``model=X`` the engines that X has of its own: ``engine/X.yaml`` and ``X_train.yaml``.

    An engine that is chosen among the overrides stays.
    """
    models = [override.removeprefix("model=") for override in overrides if override.startswith("model=")]
    found = list(overrides)
    groups = {"engine": "", "engine@train_engine": "_train"} if config_name == "train" else {"engine": ""}
    for group, suffix in groups.items():
        chosen = any(override.startswith(f"{group}=") for override in overrides)
        if models and not chosen and (config_dir() / "engine" / f"{models[-1]}{suffix}.yaml").is_file():
            found.append(f"{group}={models[-1]}{suffix}")
    return found


def explain(message: str, overrides: Sequence[str]) -> str:
    """A composition error with the nearest known choices of the groups that were overridden."""
    hints = []
    for override in overrides:
        group, _, value = override.lstrip("+~").partition("=")
        folder = group.partition("@")[0]
        known = choices(folder)
        if known and value not in known and f"'{folder}/{value}'" in message:
            near = difflib.get_close_matches(value, known, n=3, cutoff=0.4) or known
            hints.append(f"{group}={value}: no such choice; did you mean {' or '.join(near)}?")
    part = re.search(r"Could not override '(\w+)/(\w+)'\. No match in the defaults list", message)
    if part and (config_dir() / part[1] / part[2]).is_dir():
        chosen = [override for override in overrides if "/" not in override.partition("=")[0]]
        parts = [key for key in _keys(chosen, part[1]) if (config_dir() / part[1] / key).is_dir()]
        hints.append(
            f"{part[1]}/{part[2]}: this {part[1]} has no such part; it has {', '.join(parts) or 'no parts to choose'}."
        )
        return "\n".join(hints)
    unknown = re.search(r"Could not override '([\w.]+\.\w+)'", message)
    if unknown:
        parent, _, key = unknown[1].rpartition(".")
        known = _keys([override for override in overrides if "." not in override.partition("=")[0]], parent)
        near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
        if near:
            hints.append(f"{unknown[1]}: no such option; did you mean {' or '.join(near)}?")
    return "\n".join([*hints, message])


def _keys(choices_made: Sequence[str], parent: str) -> list[str]:
    """The keys that a configuration has under ``parent``, or none if it does not compose either."""
    try:
        config = OmegaConf.select(compose(choices_made), parent)
    except ConfigError:
        return []
    return [str(key) for key in config] if isinstance(config, DictConfig) else []


def instantiate(config: DictConfig) -> Any:
    """The object that a configuration of ours describes. Not for configurations that came with a download."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    try:
        return hydra_instantiate(config)
    except InstantiationException as error:
        if isinstance(error.__cause__, ConfigError | CheckpointError):
            raise error.__cause__ from error
        raise ConfigError(str(error)) from error


def instantiate_model(config: DictConfig | Mapping[str, Any], *, trust_targets: bool = False) -> Segmenter[Any]:
    """A network from its configuration, which may come out of a file that is not trusted.

    Args:
        config: A model configuration with ``_target_``.
        trust_targets: Skip the check of targets. Then the configuration can run any code.

    Raises:
        CheckpointError: If a ``_target_`` is anything but a module class of vosfw or torch.nn.
        ConfigError: If an argument does not fit.
    """
    if not trust_targets:
        check_targets(config, MODEL_PREFIXES, nn.Module)
    model = instantiate(OmegaConf.create(to_container(config)))
    if not isinstance(model, Segmenter):
        raise ConfigError(f"the model configuration builds a {type(model).__name__}; wanted a Segmenter")
    return model


def instantiate_engine(config: DictConfig | Mapping[str, Any], *, trust_targets: bool = False) -> Any:
    """An engine from its configuration, with the same check of targets."""
    if not trust_targets:
        check_targets(config, (ENGINE_PREFIX,), object)
    return instantiate(OmegaConf.create(to_container(config)))


def to_container(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as plain, resolved containers."""
    if isinstance(config, DictConfig):
        resolved = OmegaConf.to_container(config, resolve=True)
        return {str(key): value for key, value in resolved.items()} if isinstance(resolved, dict) else {}
    return dict(config)


def check_targets(config: Any, prefixes: tuple[str, ...], base: type) -> None:
    """Refuse a configuration whose targets could run anything but the constructors of known classes.

    A target must be the very path under which its class was defined, so that no walk through a module's imports (such
    as ``torch.nn.modules.module.torch.os.system``) gets through.

    Raises:
        CheckpointError: Naming the first target that is refused.
    """
    for key, value in _walk(to_container(config) if isinstance(config, DictConfig) else config):
        if isinstance(value, str) and "${" in value:
            raise CheckpointError(f"refused to resolve {value!r} in a stored configuration: wanted plain values")
        if key == "_target_" and not _is_class(value, prefixes, base):
            raise CheckpointError(
                f"refused target {value!r} in a stored configuration: wanted the defining path of a class under "
                f"{' or '.join(prefixes)}. If you trust the file's author, load it with trust_targets=True."
            )


def _walk(config: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield str(key), value
            yield from _walk(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield "", value
            yield from _walk(value)


def _is_class(target: Any, prefixes: tuple[str, ...], base: type) -> bool:
    if not isinstance(target, str) or not target.startswith(prefixes):
        return False
    module, _, name = target.rpartition(".")
    if not all(part.isidentifier() and not part.startswith("__") for part in target.split(".")):
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return (
        isinstance(found, type) and issubclass(found, base) and (found.__module__, found.__qualname__) == (module, name)
    )
