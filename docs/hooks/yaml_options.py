"""What a configuration file offers, with its comments: read from its text, since a YAML parser drops them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PACKAGE = "# @package "
INNER = ("defaults", "_target_", "_partial_", "_convert_", "_recursive_", "hydra")
"""Keys that are no options."""


class Option(NamedTuple):
    """A key that can be set."""

    key: str
    """With those above it, separated by dots."""
    default: str
    """Its value as YAML; empty for a key that only groups others."""
    comment: str
    """Above it or at the end of its line."""
    target: str
    """The class or function that takes it; empty if the mapping around it names none."""


class Part(NamedTuple):
    """A choice of another group that a file makes."""

    group: str
    package: str
    """Where its options land; the empty string for the group's own place."""
    name: str


class ConfigFile(NamedTuple):
    """One file under ``configs/``."""

    group: str
    """Such as ``model/memory``; empty for the roots."""
    name: str
    header: list[str]
    """Lines of the comment at its top."""
    target: str
    parts: list[Part]
    """What its list of defaults takes in; files of its own group under their own package are what it inherits."""
    options: list[Option]

    @property
    def inherits(self) -> list[str]:
        """Names of files of the same group that it starts from."""
        return [part.name for part in self.parts if part.group == self.group and not part.package]


def read(path: Path, root: Path) -> ConfigFile:
    """Read one file.

    Args:
        path: Of the file.
        root: The folder ``configs/``.
    """
    text = path.read_text()
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header = [line for line in lines[:start] if not line.startswith(PACKAGE)]
    group = path.parent.relative_to(root).as_posix()
    group = "" if group == "." else group
    tree = yaml.compose(text, Loader=LOADER)
    content = (tree and _plain(tree)) or {}
    options = list(_walk(tree, text, lines, start)) if isinstance(tree, yaml.MappingNode) else []
    parts = [part for entry in content.get("defaults", []) for part in _parts(entry, group)]
    return ConfigFile(group, path.stem, header, str(content.get("_target_", "")), parts, options)


def _parts(entry: str | dict[str, str | list[str] | None], group: str) -> Iterator[Part]:
    """One entry of a list of defaults; ``null`` choices and ``_self_`` are none."""
    if entry == "_self_":
        return
    if isinstance(entry, str):
        # A file of this group or, with a slash at its start, of another one.
        path, _, package = entry.partition("@")
        folder, _, name = path.rpartition("/")
        yield Part(_absolute(folder, group) if folder else group, package, name)
        return
    for key, names in entry.items():
        path, _, package = key.removeprefix("override ").partition("@")
        for name in names if isinstance(names, list) else [names]:
            if name is not None:
                yield Part(_absolute(path, group), package, str(name))


def _absolute(path: str, group: str) -> str:
    return path[1:] if path.startswith("/") else "/".join(part for part in (group, path) if part)


def _walk(node: yaml.MappingNode, text: str, lines: list[str], start: int, above: str = "") -> Iterator[Option]:
    target = next((value.value for key, value in node.value if key.value == "_target_"), "")
    for key, value in node.value:
        if key.value in INNER:
            continue
        name = f"{above}{key.value}"
        comment = _comment(key, value, text, lines, start)
        nested = isinstance(value, yaml.MappingNode) and not value.flow_style
        if nested and all(str(inner.value).isidentifier() for inner, _ in value.value):
            if comment:
                yield Option(name, "", comment, target)
            yield from _walk(value, text, lines, start, f"{name}.")
        else:
            yield Option(name, _default(value, text), comment, target)


def _default(node: yaml.Node, text: str) -> str:
    """A value as it was written, on one line."""
    block = isinstance(node, yaml.CollectionNode) and not node.flow_style
    written = text[node.start_mark.index : node.end_mark.index]
    if block or "#" in written or "\n" in written:
        written = yaml.safe_dump(_plain(node), default_flow_style=True, width=1000)
        written = written.removesuffix("...\n")
    return written.strip() or "null"


def _plain(node: yaml.Node) -> Any:
    """What a node stands for."""
    return yaml.SafeLoader("").construct_document(node)


def _comment(key: yaml.Node, value: yaml.Node, text: str, lines: list[str], start: int) -> str:
    """The comment right above a key, else the one at the end of its line; never the file's header."""
    found: list[str] = []
    number, indent = key.start_mark.line - 1, key.start_mark.column
    while number >= start and re.match(rf" {{{indent}}}#", lines[number]):
        found.insert(0, lines[number].strip().lstrip("#").strip())
        number -= 1
    if not found:
        nested = isinstance(value, yaml.CollectionNode) and not value.flow_style
        end = key.end_mark if nested else value.end_mark
        rest = text[end.index : len(text) if (stop := text.find("\n", end.index)) < 0 else stop]
        found = [rest.partition("#")[2].strip()] if re.match(r":?\s+#", rest) else []
    return " ".join(found)
