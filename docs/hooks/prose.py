"""Comments as Markdown that shows them as they are written, with commands and assignments as code."""

import re

COMMAND = re.compile(r"(?:^|(?<= ))(?:python (?:train|evaluate)\.py|vosfw [a-z]+) .*$")
ASSIGNMENT = re.compile(r"(?<![\w`.])\+?[a-z_][\w./@]*=(?:\[[^\]]*\]|[^\s,;:()]*[^\s,;:().])")


def prose(comment: list[str]) -> list[str]:
    """A comment as paragraphs, and its commands as blocks of code."""
    lines: list[str] = []
    command: list[str] = []
    for raw in [*comment, "#"]:
        line = raw.removeprefix("#").removeprefix(" ")
        if command and line.startswith("  "):
            command.append(line.strip())
            continue
        if command:
            written = [re.sub(r" {3,}(\(.*)$", r"  # \1", part) for part in command]
            lines += ["", "```bash", " \\\n  ".join(written), "```", ""]
            command = []
        if found := COMMAND.search(line):
            lines += [text(line[: found.start()].strip())]
            command = [found[0]]
        else:
            # A short line without a full stop is a title.
            title = len(raw) < 105 and line[-1:] not in ".,:;" and not lines
            lines += [text(line.strip()), ""] if title else [text(line.strip())]
    return lines


def text(written: str) -> str:
    """Plain text as Markdown that shows it as it is, with assignments as code."""
    made, end = "", 0
    for found in ASSIGNMENT.finditer(written):
        made += _plain(written[end : found.start()]) + code(found[0])
        end = found.end()
    return made + _plain(written[end:])


def _plain(written: str) -> str:
    written = re.sub(r"\s+", " ", written.replace("`", ""))
    return re.sub(r"[\\*_{}\[\]<>|&#~]", lambda found: f"&#{ord(found[0])};", written)


def code(written: str) -> str:
    """A value as inline code, also inside a table."""
    escaped = re.sub(r"[\\`*_{}\[\]<>|&]", lambda found: f"&#{ord(found[0])};", written)
    return f"<code>{escaped}</code>"
