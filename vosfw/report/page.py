"""One self-contained HTML page out of tables, charts, stills and videos.

All text travels as JSON and is set by the page's script as text, never as markup, so that no name of a video or run can
become part of the page's code. A policy inside the page forbids any network and any script but its own.
"""

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from vosfw.data.files import replacing
from vosfw.report.sections import Section

__all__ = ["write_page"]

SCRIPTS = ("dom.js", "table.js", "chart.js", "viewer.js", "page.js")


def write_page(path: Path, title: str, intro: str, sections: Sequence[Section]) -> int:
    """Write the page; it needs no other file and no network. Returns its size in bytes.

    Args:
        path: Where to.
        title: Heading.
        intro: A sentence below it.
        sections: In order.

    Raises:
        OutputError: If the page cannot be written.
    """
    folder = Path(__file__).parent
    style = (folder / "page.css").read_text(encoding="utf-8")
    script = "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    data = json.dumps(
        {"title": title, "intro": intro, "sections": [_plain(section) for section in sections]},
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    )
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
    page = Template((folder / "page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        policy=policy + "base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        # Neither a closing tag nor a comment may end the script element early.
        data=data.replace("<", "\\u003c"),
    )
    content = page.encode("utf-8", errors="replace")
    with replacing(path) as draft:
        draft.write_bytes(content)
    return len(content)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _plain(value: Any) -> Any:
    """Sections as JSON has them; what is not a number becomes null."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {"kind": type(value).__name__.lower(), **{key: _plain(each) for key, each in value._asdict().items()}}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
