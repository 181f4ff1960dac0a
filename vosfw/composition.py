"""Whether a checkpoint belongs to the network at hand."""

import inspect
import sys
from collections.abc import Mapping
from typing import Any

from vosfw.errors import CheckpointError


def check_composition(
    own: Mapping[str, Any], stored: Mapping[str, Any], where: str, *, parts_only: bool = False
) -> list[str]:
    """Compare a network's composition with a checkpoint's.

    Args:
        own: With ``name`` and ``model``; nothing is checked if it is empty.
        stored: The same of the checkpoint.
        where: What to call the checkpoint.
        parts_only: Refuse other parts only, and let options of the same parts differ.

    Returns:
        Options that differ, as ``key: theirs, here ours``.

    Raises:
        CheckpointError: Naming both and the first options that differ.
    """
    if not own:
        return []
    if "model" not in stored:
        raise CheckpointError(f"{where} was not written by vosfw: it does not say which network its weights belong to.")
    found = differences(stored["model"], own["model"])
    wrong = [difference for difference in found if not parts_only or "_target_: " in difference]
    if wrong:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise CheckpointError(
            f"{where} belongs to another composition: {stored.get('name')!r}, but this run has {own.get('name')!r}. "
            f"They differ in {'; '.join(found[:3])}{more}. Choose the same model, or leave one of the two out."
        )
    return found


def differences(theirs: Any, ours: Any, key: str = "model") -> list[str]:
    """Where two configurations differ, as ``key: theirs, here ours``; parts of another class come first."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        names = sorted({**theirs, **ours}, key=lambda name: name != "_target_")
        return [
            found for name in names for found in differences(_value(theirs, name), _value(ours, name), f"{key}.{name}")
        ]
    theirs, ours = (list(value) if isinstance(value, tuple) else value for value in (theirs, ours))
    return [] if theirs == ours else [f"{key}: {theirs}, here {ours}"]


def _value(config: Mapping[str, Any], name: str) -> Any:
    """An option, or its class's default: what was stored before there was the option is no other network."""
    if name in config:
        return config[name]
    module, _, kind = str(config.get("_target_", "")).rpartition(".")
    # Nothing is imported for a stored name: classes of the network at hand are known already.
    found = getattr(sys.modules.get(module), kind, None)
    option = inspect.signature(found).parameters.get(name) if isinstance(found, type) else None
    return "not set" if option is None or option.default is option.empty else option.default
