"""Every command in a block of README and docs/ is one that its program takes."""

import argparse
import functools
import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from vosfw.cli.main import COMMANDS, HYDRA, _module
from vosfw.config import choices, compose
from vosfw.errors import ConfigError

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = (["python", "train.py"], ["python", "evaluate.py"])
ANY = "…"
"""Stands in the pages for what a reader fills in."""


def commands(text: str) -> list[list[str]]:
    """Words of each command of ours, without comments and what comes behind a pipe."""
    found = []
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
            lexer.whitespace_split = True
            words = list(lexer)
            ends = [i for i, word in enumerate(words) if set(word) <= set("|&;<>")]
            words = words[: min(ends, default=len(words))]
            if words[:2] in PROGRAMS or words[:1] == ["vosfw"]:
                found.append(words)
    return found


FOUND = {path.relative_to(ROOT).as_posix(): commands(path.read_text()) for path in PAGES}
COMMAND = {shlex.join(words): words for found in FOUND.values() for words in found}


def compositions(root: str, words: list[str]) -> list[tuple[str, ...]]:
    """What Hydra must compose: the overrides, and of a sweep each of its choices."""
    overrides = [word.replace(ANY, "X") for word in words if word[0] not in f"-{ANY}" and not is_open_choice(word)]
    for override in overrides:
        # What a checkpoint holds cannot be known here; a file is named like its model.
        name = Path(override.removeprefix("ckpt_path=")).stem
        if (
            override.startswith("ckpt_path=")
            and name in choices("model")
            and not {"model", "experiment"} & keys(overrides)
        ):
            overrides = [f"model={name}", *overrides]
    parsed = OverridesParser.create().parse_overrides(overrides)
    values = [list(one.sweep_string_iterator()) if one.is_sweep_override() else [] for one in parsed]
    assert not any(values) or {"-m", "--multirun"} & set(words), "a sweep needs -m"
    times = max((len(value) for one, value in zip(overrides, values, strict=True) if is_choice(one)), default=0)
    return [
        tuple(
            f"{override.partition('=')[0]}={value[i % len(value)]}" if value else override
            for override, value in zip(overrides, values, strict=True)
        )
        for i in range(max(times, 1))
    ]


def keys(overrides: list[str]) -> set[str]:
    return {override.partition("=")[0] for override in overrides}


def is_choice(override: str) -> bool:
    """Whether it chooses from a group."""
    return bool(choices(override.lstrip("+~").partition("=")[0].partition("@")[0]))


def is_open_choice(word: str) -> bool:
    return ANY in word and is_choice(word)


@functools.cache
def programs() -> dict[tuple[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Commands that compose, with their overrides, by program and choices: those that share them compose together."""
    found: dict[tuple[str, tuple[str, ...]], dict[str, tuple[str, ...]]] = {}
    for command, words in COMMAND.items():
        if words[0] == "python" or words[1] in HYDRA:
            for overrides in compositions(words[1].removesuffix(".py"), words[2:]):
                chosen = tuple(override for override in overrides if is_choice(override))
                found.setdefault((words[1].removesuffix(".py"), chosen), {})[command] = overrides
    return found


def test_pages_have_commands():
    assert len(COMMAND) > 60
    assert all(FOUND[page] for page in ("README.md", "docs/tutorial.md", "docs/coming_from.md"))


@pytest.mark.parametrize(("root", "chosen"), programs(), ids=lambda part: part if isinstance(part, str) else None)
def test_overrides_compose(root, chosen):
    together = programs()[root, chosen]
    once = dict.fromkeys(
        override for overrides in together.values() for override in overrides if override not in chosen
    )
    added = {override.partition("=")[0]: override for override in once if override[0] in "+~"}
    plain = [override for override in once if override[0] not in "+~"]
    try:
        compose([*chosen, *plain, *added.values()], root)
    except ConfigError:
        for command, overrides in together.items():
            try:
                compose(overrides, root)
            except ConfigError as error:
                pytest.fail(f"{command}\n{error}")
        raise


@pytest.mark.parametrize(
    "command", [c for c, words in COMMAND.items() if words[0] == "vosfw" and words[1] not in HYDRA]
)
def test_options_of_sub_commands_parse(command):
    name, *words = COMMAND[command][1:]
    assert name in COMMANDS, f"no sub-command {name}"
    parser = argparse.ArgumentParser(prog=f"vosfw {name}", exit_on_error=False)
    _module(name).add_arguments(parser)
    options = parser.parse_args([word for word in words if word != ANY])
    if name == "segment" and options.set:
        compose(options.set, "evaluate")
    if name == "calibrate":
        compose([word.replace(ANY, "X") for word in options.data])
