"""Sessions as files: everything a predictor remembers of a video, without pickled code."""

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vosfw.data.files import cannot_write, replacing
from vosfw.errors import CheckpointError

FORMAT = 3


def write_session(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors, numbers, texts, tuples, NamedTuples and engine options; an old file is replaced at once.

    Raises:
        OutputError: If the file cannot be written.
        TypeError: If something else is in it.
    """
    with replacing(path) as draft:
        try:
            torch.save({"vosfw_session": FORMAT, "content": as_plain(dict(content))}, draft)
        except RuntimeError as error:  # how torch says that the disk is full
            raise cannot_write(path, error) from error


def read_session(path: Path, package: str | None = None) -> dict[str, Any]:
    """What ``write_session`` wrote; builds NamedTuples and engine options of vosfw only, and runs no other code.

    Args:
        path: The file.
        package: Another package whose NamedTuples may be built: that of a network of your own.

    Raises:
        CheckpointError: If the file is missing, damaged, no session, or holds a type that is not vosfw's.
    """
    if not path.is_file():
        raise CheckpointError(f"no session at {path.absolute()}. Predictor.save writes one.")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is no session that can be read ({reason}). Start anew.") from error
    if not isinstance(stored, Mapping) or stored.get("vosfw_session") != FORMAT:
        raise CheckpointError(f"{path} is no session of this version of vosfw. Start anew.")
    prefixes = ("vosfw.",) if package is None else ("vosfw.", f"{package}.")
    content: dict[str, Any] = _built(stored["content"], prefixes)
    return content


def move(value: Any, device: torch.device) -> Any:
    """Tuples, NamedTuples and tensors, on another device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(move(item, device) for item in value))
    return tuple(move(item, device) for item in value) if isinstance(value, tuple | list) else value


def as_plain(value: Any) -> Any:
    """The same as containers that ``torch.load`` reads safely; types are noted by their path."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        # A view would bring its whole storage along; strides are kept, for the same results to the bit.
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {"mapping": {key: as_plain(item) for key, item in value.items()}}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"fields": [as_plain(item) for item in value], "type": _path(value)}
    if isinstance(value, tuple | list):
        return [as_plain(item) for item in value]
    if type(value).__module__.startswith("vosfw.engine."):
        return {"attributes": {key: as_plain(item) for key, item in vars(value).items()}, "type": _path(value)}
    raise TypeError(f"a session cannot hold a {type(value).__name__}: wanted tensors, plain values and NamedTuples")


def _built(value: Any, prefixes: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return tuple(_built(item, prefixes) for item in value)
    if not isinstance(value, dict):
        return value
    if "mapping" in value:
        return {key: _built(item, prefixes) for key, item in value["mapping"].items()}
    kind = _class(value["type"], ("vosfw.engine.",) if "attributes" in value else prefixes)
    if "attributes" in value:
        options: Any = object.__new__(kind)
        # Options that are younger than the file have their defaults.
        known = inspect.signature(kind).parameters.values()
        if all(option.default is not option.empty for option in known):
            vars(options).update(vars(kind()))
        vars(options).update({key: _built(item, prefixes) for key, item in value["attributes"].items()})
        return options
    if not issubclass(kind, tuple):
        raise CheckpointError(f"refused the type {value['type']!r} in a session: it is no NamedTuple")
    return kind(*(_built(item, prefixes) for item in value["fields"]))


def _path(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _class(path: str, prefixes: tuple[str, ...]) -> type:
    """A class by the path under which it was defined."""
    module, _, name = path.rpartition(".")
    found = None
    if path.startswith(prefixes) and all(part.isidentifier() and part[:2] != "__" for part in path.split(".")):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError:
            found = None
    if not isinstance(found, type) or f"{found.__module__}.{found.__qualname__}" != path:
        raise CheckpointError(f"refused the type {path!r} in a session: wanted a class under {' or '.join(prefixes)}")
    return found
