"""What a page is made of."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

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
    "Pile",
    "Plot",
    "Stills",
    "Table",
    "Track",
    "View",
]


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
    color: int
    """Of the object that it is about."""
    image: str
    views: Sequence[View]


class Pile(NamedTuple):
    """Frames of one run."""

    name: str
    cards: Sequence[Card]


class Stills(NamedTuple):
    """Frames, one below the other, of a run that can be chosen."""

    title: str
    intro: str
    piles: Sequence[Pile]


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
