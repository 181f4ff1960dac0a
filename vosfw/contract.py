"""Whether the parts of a composition fit together, told before anything is built."""

import importlib
import typing
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from torch import nn

from vosfw.config import choices, config_dir
from vosfw.errors import ConfigError


def check_parts(config: Mapping[str, Any], key: str = "model") -> None:
    """Refuse a network, or a part, whose parts play another role than the one their place is for.

    What a place is for is read off the constructor's annotations (``vosfw.interfaces``), all the way down.

    Args:
        config: With ``_target_``; targets must be trusted.
        key: Where it is, such as ``model`` or ``model.memory``; what stands below it in a config group of that name is
            offered instead.

    Raises:
        ConfigError: Naming the place, what it takes, and the choices that fit.
    """
    kind = target(config)
    if kind is None:
        return
    wanted = roles(kind)
    for name, part in config.items():
        found = target(part) if isinstance(part, Mapping) else None
        if found is None:
            continue
        place = f"{key}.{name}"
        role = wanted.get(str(name))
        if role is not None and not issubclass(found, role):
            raise ConfigError(
                f"{place} is {found.__name__}, a kind of {_role_of(found).__name__}; {kind.__name__} wants a kind of "
                f"{role.__name__} there{_remedy(place, role)}"
            )
        check_parts(part, place)


def check_loss(config: Mapping[str, Any]) -> None:
    """Refuse a loss of single frames where one of whole clips is wanted.

    Raises:
        ConfigError: Naming a loss that takes it as its part.
    """
    from vosfw.loss.frame import FrameLoss

    found = target(config)
    if found is not None and issubclass(found, FrameLoss):
        raise ConfigError(
            f"loss is {found.__name__}, which compares one frame; training wants a loss of clips. Choose loss=sequence "
            "and, for its frames, loss@loss.frame_loss=iou_ce, mask_iou or bootstrapped_ce"
        )


def target(config: Any) -> type | None:
    """The class a configuration stands for; None if it names none, or something else than a class."""
    path = config.get("_target_") if isinstance(config, Mapping) else None
    module, _, name = str(path or "").rpartition(".")
    if not module:
        return None
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None  # which is reported where it is built
    return found if isinstance(found, type) else None


def roles(kind: type) -> dict[str, type]:
    """The parts that a class's constructor takes, as the classes of their roles; those it makes from factories too.

    Nothing for a constructor whose annotations name what only a type checker imports.
    """
    try:
        hints = typing.get_type_hints(kind.__init__)  # type: ignore[misc]
    except NameError:
        return {}
    found = {}
    for name, hint in hints.items():
        kinds = [each for each in _classes(hint) if issubclass(each, nn.Module)]
        if len(kinds) == 1:
            found[name] = kinds[0]
    return found


def fitting(group: str, role: type) -> list[str]:
    """Choices of a config group whose class plays a role."""
    if not (config_dir() / group).is_dir():
        return []
    found = {name: target({"_target_": _stated(group, name)}) for name in choices(group)}
    return [name for name, kind in found.items() if kind is not None and issubclass(kind, role)]


def _stated(group: str, name: str) -> str | None:
    """The target of a choice, its own or of what it is based on; read without composing, which takes long."""
    config: Any = OmegaConf.load(config_dir() / group / f"{name}.yaml")
    if "_target_" in config:
        return str(config["_target_"])
    bases = [base for base in config.get("defaults", ()) if isinstance(base, str) and base != "_self_"]
    return _stated(group, bases[-1]) if bases else None


def _classes(hint: Any) -> list[type]:
    """The classes in an annotation: of ``Role``, ``Role[Any]``, ``Callable[..., Role]`` and unions of them."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(origin, type) and issubclass(origin, nn.Module):
        return [origin]
    if origin is None:
        return [hint] if isinstance(hint, type) else []
    return [found for part in parts for found in _classes(part)]


def _role_of(kind: type) -> type:
    """The interface that a part is of; itself if it is of none."""
    return next((base for base in kind.__mro__ if base.__module__ == "vosfw.interfaces"), kind)


def _remedy(place: str, role: type) -> str:
    group = place.replace(".", "/")
    found = fitting(group, role)
    return f": choose {group}={listed(found)}" if found else ""


def listed(names: list[str]) -> str:
    """Names in words, such as ``a, b or c``."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
