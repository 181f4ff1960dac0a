"""Tables of key patterns, by which an official checkpoint becomes weights of a composition."""

import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vosfw.errors import CheckpointError

SHOWN = 12
"""Keys that an error lists of each kind."""


class Rule(NamedTuple):
    """What becomes of the source keys that match a pattern as a whole; the first matching rule of a table counts."""

    pattern: str
    """A regular expression."""
    target: str | tuple[str, ...] | None
    """The key in the composition, or several, with the pattern's groups (``\\1``); None if the tensor is not used."""
    reason: str = ""
    """Why it is not used."""
    transform: Callable[[Tensor, torch.Size], Tensor] | None = None
    """Applied to the tensor, given the shape that is wanted."""
    channel: int | None = None
    """First input channel of the target that the tensor fills, where several tensors become one."""


class Conversion(NamedTuple):
    """Weights of a composition, and where they come from."""

    weights: dict[str, Tensor]
    used: dict[str, str]
    """Target key, or several, by source key."""
    dropped: dict[str, str]
    """Reason by source key."""


def read_official(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint written by ``torch.save``, without running code from it.

    A training checkpoint is unwrapped (``state_dict``), and the prefix of data-parallel training is stripped.

    Raises:
        CheckpointError: If the file is missing, damaged, or holds anything but tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"no file {path}; give the path of the official checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"cannot read {path}: {reason}\nWanted a file of tensors written by torch.save; download it again, and "
            "do not load it by other means unless you trust its author."
        ) from error
    if isinstance(content, Mapping):
        content = content.get("state_dict", content)
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path} holds no state dict; wanted a mapping of names to tensors")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def convert(source: Mapping[str, Tensor], rules: tuple[Rule, ...], target: Mapping[str, Tensor]) -> Conversion:
    """Rename, reshape and check every tensor.

    Args:
        source: Official names and tensors.
        rules: Tried in order.
        target: State of the composition; only names, shapes and types are used.

    Raises:
        CheckpointError: Listing source keys that no rule knows, target keys that stay empty, and shapes that differ.
    """
    weights: dict[str, Tensor] = {}
    used: dict[str, str] = {}
    dropped: dict[str, str] = {}
    unknown: list[str] = []
    shapes: list[str] = []
    parts: dict[str, list[tuple[int, str]]] = {}
    for key, tensor in source.items():
        rule, names = _match(key, rules)
        if rule is None:
            unknown.append(key)
        elif not names:
            dropped[key] = rule.reason
        elif rule.channel is not None and names[0] in target:
            used[key] = names[0]
            parts.setdefault(names[0], []).append((rule.channel, key))
        elif lost := [name for name in names if name not in target or name in weights]:
            unknown.append(f"{key} (as {', '.join(lost)})")
        else:
            used[key] = ", ".join(names)
            for name in names:
                wanted = target[name]
                fitted = rule.transform(tensor, wanted.shape) if rule.transform is not None else tensor
                if fitted.shape != wanted.shape:
                    shapes.append(f"{key}: {list(fitted.shape)}, wanted {list(wanted.shape)}")
                # A file holds no tensor twice, so several targets have copies.
                weights[name] = fitted.to(wanted.dtype, copy=len(names) > 1).contiguous()
    for name, found in parts.items():
        keys = [key for _, key in sorted(found)]
        tensors, wanted = [source[key] for key in keys], target[name]
        fits = {(t.shape[:1], t.shape[2:]) for t in tensors} == {(wanted.shape[:1], wanted.shape[2:])}
        joined = torch.cat(tensors, dim=1) if fits else tensors[0]
        if joined.shape != wanted.shape:
            given = ", ".join(f"{key} {list(tensor.shape)}" for key, tensor in zip(keys, tensors, strict=True))
            shapes.append(f"{given} together, wanted {list(wanted.shape)}")
        weights[name] = joined.to(wanted.dtype)
    missing = [name for name in target if name not in weights]
    problems = {
        "keys that belong to nothing in this composition": unknown,
        "tensors of another shape": shapes,
        "weights of the composition that nothing fills": missing,
    }
    if any(problems.values()):
        said = [f"{len(keys)} {what}:\n{_listed(keys)}" for what, keys in problems.items() if keys]
        raise CheckpointError(
            "the checkpoint does not fit:\n" + "\n".join(said) + "\nGive the checkpoint of this very system, or the "
            "options it was trained with."
        )
    return Conversion(weights, used, dropped)


def _match(key: str, rules: tuple[Rule, ...]) -> tuple[Rule | None, list[str]]:
    for rule in rules:
        match = re.fullmatch(rule.pattern, key)
        if match:
            targets = (rule.target,) if isinstance(rule.target, str) else rule.target or ()
            return rule, [match.expand(target) for target in targets]
    return None, []


def _listed(keys: list[str]) -> str:
    lines = [f"  {key}" for key in keys[:SHOWN]]
    return "\n".join(lines + ([f"  … and {len(keys) - SHOWN} more"] if len(keys) > SHOWN else []))
