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
from typing import Any, NamedTuple, TypeAlias

from vosfw.data.files import replacing

__all__ = [
    "Bar",
    "Bars",
    "Card",
    "Column",
    "Curves",
    "Film",
    "Films",
    "Line",
    "Marked",
    "Notes",
    "Plot",
    "Stills",
    "Table",
    "Track",
    "View",
    "write_page",
]

SCRIPTS = ("dom.js", "table.js", "chart.js", "viewer.js", "page.js")


class Marked(NamedTuple):
    """A cell with the colour of a line beside its text."""

    text: str
    color: int


Cell: TypeAlias = str | float | int | Marked | None


class Column(NamedTuple):
    """A column of a table."""

    name: str
    digits: int | None = None
    """Behind the point, of numbers; None for text."""
    best: str = ""
    """``high`` or ``low``: such a number is set in bold."""
    note: str = ""
    """What it means."""


class Table(NamedTuple):
    """Rows that can be sorted by any column."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    intro: str = ""
    search: bool = False
    """Whether there is a text filter."""
    facets: Sequence[int] = ()
    """Columns of which one value can be chosen."""


class Notes(NamedTuple):
    """Sentences."""

    title: str
    lines: Sequence[str]


class Line(NamedTuple):
    """A line of a chart."""

    name: str
    values: Sequence[float | None]
    color: int | str
    """Number of a line colour, or a colour."""


class Curves(NamedTuple):
    """Lines over a common x, with a slider that reads values."""

    title: str
    intro: str
    x: Sequence[float]
    x_label: str
    y_label: str
    lines: Sequence[Line]


class Bar(NamedTuple):
    """Bars of one run, with intervals, against a value of reference."""

    name: str
    color: int
    reference: float
    values: Sequence[float | None]
    lows: Sequence[float | None]
    highs: Sequence[float | None]


class Bars(NamedTuple):
    """Groups of bars, one bar per run."""

    title: str
    intro: str
    x_label: str
    groups: Sequence[str]
    bars: Sequence[Bar]


class View(NamedTuple):
    """A picture or several over time: a layer over the frame."""

    title: str
    layers: Sequence[str | None]
    """``data:`` addresses of transparent pictures; None for the frame alone."""
    legend: str = ""
    """``error``, ``object_error`` or ``entropy``: what the colours mean. The frame below is grey and dark then."""


class Card(NamedTuple):
    """One frame."""

    title: str
    facts: str
    image: str
    views: Sequence[View]


class Stills(NamedTuple):
    """Frames, one below the other."""

    title: str
    intro: str
    cards: Sequence[Card]


class Plot(NamedTuple):
    """Lines over the frames of a video."""

    title: str
    lines: Sequence[Line]
    top: float
    """Of the vertical axis, which starts at 0."""


class Track(NamedTuple):
    """What one run made of a video."""

    name: str
    views: Sequence[View]
    plots: Sequence[Plot]


class Film(NamedTuple):
    """A video with one or more runs."""

    title: str
    note: str
    names: Sequence[str]
    """Of all its frames."""
    shown: Sequence[int]
    """Numbers of the frames that there are pictures of."""
    images: Sequence[str]
    views: Sequence[View]
    """The same for all runs."""
    tracks: Sequence[Track]
    start: int = 0
    """Which of the shown frames comes first."""


class Films(NamedTuple):
    """Videos to choose from, frame by frame."""

    title: str
    intro: str
    films: Sequence[Film]


Section: TypeAlias = Table | Notes | Curves | Bars | Stills | Films


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
