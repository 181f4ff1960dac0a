"""Pages of the configuration reference, made from the files under ``configs/`` at build time."""

import re
from pathlib import Path

from prose import COMMAND, code, prose, text
from reference import argument, summary
from yaml_options import ConfigFile, Option, Part, read

FOLDER = "configuration"
ROOTS = {"train": "python train.py", "evaluate": "python evaluate.py"}


def pages(configs: Path) -> dict[str, str]:
    """Markdown of every page of the reference, by its place in the documentation.

    Args:
        configs: The folder ``configs/``.
    """
    files = [read(path, configs) for path in sorted(configs.rglob("*.yaml")) if "local" not in path.parts]
    groups = sorted({file.group for file in files if file.group})
    groups = [group for group in groups if not group.startswith("experiment/")]
    roots = [file for file in files if not file.group]
    made = {f"{FOLDER}/index.md": _index(roots, files, groups)}
    for root in sorted(roots, key=lambda file: list(ROOTS).index(file.name)):
        made[f"{FOLDER}/{root.name}.md"] = _root(root)
    for group in groups:
        own = [file for file in files if file.group == group]
        if group == "experiment":
            own += [file for file in files if file.group.startswith("experiment/")]
        made[f"{FOLDER}/{group}.md"] = _group(group, own, files)
    return made


def _index(roots: list[ConfigFile], files: list[ConfigFile], groups: list[str]) -> str:
    lines = [
        "# Configuration",
        "Everything is a Hydra configuration: a group is a folder under `configs/`, a choice is a file in it, an "
        "option is a key. `group=choice` chooses, `group.option=value` sets. These pages are made from the files.",
        "",
        "| page | choices |",
        "| --- | --- |",
    ]
    for root in roots:
        lines.append(f"| [{root.name}.yaml]({root.name}.md) | options of `{ROOTS[root.name]}` itself |")
    for group in groups:
        names = [file.name for file in files if file.group == group]
        shown = f"{len(names)} of them" if group == "experiment" else ", ".join(f"`{name}`" for name in names)
        lines.append(f"| [{group}]({group}.md) | {shown} |")
    return "\n".join(lines) + "\n"


def _root(file: ConfigFile) -> str:
    lines = [f"# {file.name}.yaml", *prose(file.header), "", "## Choices", "| group | choice |", "| --- | --- |"]
    lines += [f"| {_part(part, file, 0)} |" for part in file.parts]
    lines += ["", "## Options", *_table(file, file.options, {})]
    return "\n".join(lines) + "\n"


def _group(group: str, own: list[ConfigFile], files: list[ConfigFile]) -> str:
    known = {(file.group, file.name): file for file in files}
    names = {id(file): f"{file.group}/{file.name}".removeprefix(f"{group}/") for file in own}
    how = {"callbacks": "callbacks=[default,NAME]", "experiment": "experiment=NAME"}.get(group, f"{group}=NAME")
    lines = [f"# {group}", f"`{how}` chooses one of these.", "", "| name | what it is |", "| --- | --- |"]
    lines += [f"| [{name}](#{_slug(name)}) | {_first(file, known)} |" for file in own for name in [names[id(file)]]]
    for file in own:
        target = _target(file, known)
        lines += ["", f"## {names[id(file)]} {{#{_slug(names[id(file)])}}}", *prose(file.header)]
        if not file.header:
            lines.append(text(summary(target)))
        if target:
            lines += ["", f"Builds {_link(target)}."]
        # A file that a plugin of Hydra brings along has no place here.
        inherited = [
            f"[{name}](#{_slug(_named(file.group, name, group))})" if (file.group, name) in known else code(name)
            for name in file.inherits
        ]
        if inherited:
            lines += ["", f"Starts from {', '.join(inherited)}."]
        parts = [part for part in file.parts if part.group != file.group or part.package]
        depth = group.count("/")
        if parts:
            lines += ["", "| part | choice |", "| --- | --- |", *(f"| {_part(part, file, depth)} |" for part in parts)]
        if file.options:
            lines += ["", *_table(file, file.options, known)]
    return "\n".join(lines) + "\n"


def _table(file: ConfigFile, options: list[Option], known: dict[tuple[str, str], ConfigFile]) -> list[str]:
    lines = ["| option | default | meaning |", "| --- | --- | --- |"]
    for option in options:
        default = code(option.default) if option.default else ""
        lines.append(f"| {code(option.key)} | {default} | {text(_meaning(option, file, known))} |")
    return lines


def _meaning(option: Option, file: ConfigFile, known: dict[tuple[str, str], ConfigFile]) -> str:
    """Its comment, else that of the file it is inherited from, else its argument's docstring."""
    if option.comment:
        return option.comment
    line = _ancestors(file, known)
    for above in line[1:]:
        for inherited in above.options:
            if inherited.key == option.key and inherited.comment:
                return inherited.comment
    path, _, key = option.key.rpartition(".")
    target = option.target
    for above in line:
        if target:
            break
        around = [other.target for other in above.options if other.key.rpartition(".")[0] == path]
        target = next((name for name in around if name), "") if path else above.target
    return argument(target, key)


def _ancestors(file: ConfigFile, known: dict[tuple[str, str], ConfigFile]) -> list[ConfigFile]:
    """The file, and those of its group that it starts from, nearest first."""
    found = [file]
    for name in file.inherits:
        if (file.group, name) in known:
            found += _ancestors(known[file.group, name], known)
    return found


def _target(file: ConfigFile, known: dict[tuple[str, str], ConfigFile]) -> str:
    return next((above.target for above in _ancestors(file, known) if above.target), "")


def _first(file: ConfigFile, known: dict[tuple[str, str], ConfigFile]) -> str:
    """The first sentence of a file's comment, or of what it builds."""
    if not file.header:
        return text(summary(_target(file, known)))
    prose = " ".join(line.lstrip("#").strip() for line in file.header)
    prose = COMMAND.sub("", prose).strip()
    return text(re.split(r"(?<=[\w)\]])\.(?:\s|$)", prose)[0].rstrip(":. "))


def _part(part: Part, file: ConfigFile, depth: int) -> str:
    """Two cells: what chooses the part on a command line, and the choice as a link."""
    place = part.package
    if place and file.group and not file.group.startswith("experiment"):
        place = f"{file.group.replace('/', '.')}.{place}"
    key = f"{part.group}@{place}" if place else part.group
    page, name = part.group, part.name
    if page.startswith("experiment/"):
        page, name = "experiment", _named(part.group, part.name, "experiment")
    folder, _, name = name.rpartition("/") if "/" in name and page != "experiment" else ("", "", name)
    page = f"{page}/{folder}" if folder else page
    return f"{code(key)} | [{part.name}]({'../' * depth}{page}.md#{_slug(name)})"


def _named(group: str, name: str, page: str) -> str:
    """A file's name on its page: with the folders below the page's group."""
    return f"{group}/{name}".removeprefix(f"{page}/")


def _slug(name: str) -> str:
    return name.replace("/", "-")


def _link(target: str) -> str:
    """A class of ours leads to its description."""
    return f"[`{target}`][{target}]" if target.startswith(("vosfw.", "callbacks.")) else f"`{target}`"
