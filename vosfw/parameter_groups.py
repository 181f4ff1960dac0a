"""Which parameters of a network learn, and how fast, by patterns of their names."""

import difflib
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from vosfw.errors import ConfigError

REST = "the rest"
"""Name of the group of parameters that no pattern of ``layer_lr`` names."""


def select(network: nn.Module, pattern: str, option: str) -> list[str]:
    """Names of the parameters that a pattern names, by their own name or by that of a part that holds them.

    Args:
        network: Whose parameters.
        pattern: As of file names: ``encoder.*``; ``*`` stands for dots, too.
        option: The option it comes from, for the error.

    Raises:
        ConfigError: If nothing has such a name; the nearest names are listed.
    """
    parts = _parts(network, pattern)
    parameters = [name for name, _ in network.named_parameters()]
    found = set(fnmatch.filter(parameters, pattern))
    if not found and not parts:
        known = [*parameters, *(f"{name}.*" for name, _ in network.named_modules() if name)]
        near = difflib.get_close_matches(pattern, known, n=3, cutoff=0.5)
        tops = ", ".join(f"{name}.*" for name, part in network.named_children() if any(True for _ in part.parameters()))
        hint = f"did you mean {' or '.join(near)}?" if near else f"its parts are {tops}"
        raise ConfigError(
            f"{option}: no part or parameter of the network is called {pattern!r}; {hint} Or leave the pattern out: "
            f"{option}={'null' if option == 'layer_lr' else '[]'}"
        )
    return [name for name in parameters if name in found or any(name.startswith(f"{part}.") for part in parts)]


def freeze(network: nn.Module, patterns: Sequence[str]) -> tuple[str, ...]:
    """Stop parameters from learning.

    Args:
        network: Its parameters' ``requires_grad`` is changed.
        patterns: See ``select``.

    Returns:
        Names of the parts that must stay in evaluation mode, so that their batch norms keep their statistics and drop
        nothing: those that a pattern names, and those all of whose parameters are frozen.

    Raises:
        ConfigError: If a pattern names nothing, or all patterns together everything.
    """
    if not patterns:
        return ()
    frozen = {name for pattern in patterns for name in select(network, pattern, "freeze")}
    for name in frozen:
        network.get_parameter(name).requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError(
            f"freeze={list(patterns)} leaves nothing to train; name fewer parts, such as freeze=[encoder.*]"
        )
    named = {name for pattern in patterns for name in _parts(network, pattern)}
    whole = {
        name
        for name, part in network.named_modules()
        if (own := [f"{name}.{inner}" for inner, _ in part.named_parameters()]) and frozen.issuperset(own)
    }
    return tuple(sorted(named | whole))


def groups(
    network: nn.Module, layer_lr: Mapping[str, float | int | None], no_decay: Sequence[str]
) -> list[dict[str, Any]]:
    """The parameters that are trained, in groups for an optimiser.

    Args:
        network: Whose parameters.
        layer_lr: Factor on the learning rate by pattern (see ``select``), above 0. Of several patterns that name a
            parameter the last one holds; None leaves a pattern out.
        no_decay: Patterns of parameters without weight decay.

    Raises:
        ConfigError: If a pattern names nothing, or a factor is not above 0.
    """
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    exempt = {name for pattern in no_decay for name in select(network, pattern, "no_decay")}
    place = dict.fromkeys(trained, REST)
    factors = {REST: 1.0} | {pattern: factor for pattern, factor in layer_lr.items() if factor is not None}
    for pattern, factor in list(factors.items())[1:]:
        if factor <= 0:
            raise ConfigError(
                f"layer_lr: the factor of {pattern!r} is {factor}; wanted a number above 0 (freeze stops parts)"
            )
        place |= {name: pattern for name in select(network, pattern, "layer_lr") if name in trained}
    found: list[dict[str, Any]] = []
    for group, factor in factors.items():
        for spared in (False, True):
            members = [p for name, p in trained.items() if place[name] == group and (name in exempt) == spared]
            if not members:
                continue
            options: dict[str, Any] = {"params": members} | ({"weight_decay": 0.0} if spared else {})
            if len(factors) > 1:
                options |= {"factor": float(factor), "name": group + (", no decay" if spared else "")}
            found.append(options)
    return found


def apply_factors(optimizer: Optimizer) -> None:
    """Multiply each group's learning rate by its factor; before a schedule is made, which then keeps it."""
    for group in optimizer.param_groups:
        group["lr"] *= group.get("factor", 1.0)


def table(optimizer: Optimizer, network: nn.Module) -> str:
    """A line per group: name, number of parameters, highest learning rate; and what is frozen."""
    rows = [
        (str(group.get("name", REST)), _count(group["params"]), f"{group.get('initial_lr', group['lr']):.2e}")
        for group in optimizer.param_groups
    ]
    if frozen := [p for p in network.parameters() if not p.requires_grad]:
        rows.append(("frozen", _count(frozen), "-"))
    width = max(len(name) for name, *_ in rows)
    head = f"{'parameters of':<{width + 14}}{'number':>12}{'learning rate':>16}"
    return "\n".join([head, *(f"{name:<{width + 14}}{count:>12,}{rate:>16}" for name, count, rate in rows)])


def sizes(groups: Iterable[Mapping[str, Any]]) -> str:
    """Groups in few words: how many parameters, of what name, at which factor."""
    found = [(len(group["params"]), group.get("name", REST), group.get("factor", 1.0)) for group in groups]
    return ", ".join(f"{count} of {name} at {factor:g}" for count, name, factor in found)


def _parts(network: nn.Module, pattern: str) -> list[str]:
    return fnmatch.filter([name for name, _ in network.named_modules() if name], pattern)


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
