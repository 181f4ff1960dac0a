"""A table of runs as Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from vosfw.metrics.bootstrap import Difference

HEADS = {"j_and_f": "J&F", "j": "J", "f": "F", "best": "best validation J&F", "q_c": "Q_c", "q_p": "Q_p", "r_p": "R_p"}
_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_TEX |= {char: f"\\{char}" for char in "&%$#_{}"}


class Line(NamedTuple):
    """A row of the table; scores in 0..1."""

    labels: tuple[str, ...]
    runs: int
    missing: int
    scores: Mapping[str, tuple[float | None, float | None]]
    """Mean and deviation."""
    difference: Difference | None
    """Of the first score from the baseline's."""
    figures: Mapping[str, Any]
    """``parameters``, ``fps``, ``memory`` in MiB and the ``device`` it is of, where they are known."""
    remarks: tuple[str, ...]

    @property
    def notes(self) -> str:
        """What is missing and what was left out, as one text."""
        return "; ".join(note for note in self.remarks if note)


def to_markdown(heads: Sequence[str], names: Sequence[str], lines: Sequence[Line]) -> str:
    """In percent, with notes below."""
    head, cells = _cells(heads, names, lines)
    rule = ["---"] * len(heads) + ["---:"] * (len(head) - len(heads))
    text = "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in (head, rule, *cells)
    )
    notes = "".join(
        f"- {', '.join(filter(None, line.labels)) or 'all'}: {line.notes}\n" for line in lines if line.notes
    )
    return text + ("\n" + notes if notes else "")


def to_latex(heads: Sequence[str], names: Sequence[str], lines: Sequence[Line]) -> str:
    """A ``tabular`` for the package booktabs, in percent."""
    head, cells = _cells(heads, names, lines)
    columns = "l" * len(heads) + "r" * (len(head) - len(heads))
    rows = [
        " & ".join(escaped(cell).replace("±", r"$\pm$").replace("Δ", r"$\Delta$") for cell in line) + r" \\"
        for line in (head, *cells)
    ]
    notes = [f"% {', '.join(line.labels)}: {line.notes}" for line in lines if line.notes]
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
    return "\n".join([*body, r"\end{tabular}", *(" ".join(note.split()) for note in notes), ""])


def to_csv(heads: Sequence[str], names: Sequence[str], lines: Sequence[Line]) -> str:
    """With full precision, as fractions."""
    titles = [HEADS.get(name, name) for name in names]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    spread = [head for title in titles for head in (title, f"{title} std")]
    extra = ["difference", "low", "high", "p", "parameters", "fps", "memory_mib", "notes"]
    writer.writerow([*heads, "n", "missing", *spread, *extra])
    for line in lines:
        scores = [value for name in names for value in line.scores[name]]
        found = line.difference
        gain = [None] * 4 if found is None else [*found.estimate, found.p]
        figures = [line.figures.get(name) for name in ("parameters", "fps", "memory")]
        row = [*line.labels, line.runs, line.missing, *scores, *gain, *figures, line.notes]
        writer.writerow(["" if cell is None else cell for cell in row])
    return text.getvalue()


FORMATS: dict[str, Callable[[Sequence[str], Sequence[str], Sequence[Line]], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "tex": to_latex,
}


def escaped(text: str) -> str:
    """Text as LaTeX shows it."""
    return "".join(_TEX.get(char, char) for char in text)


def _cells(heads: Sequence[str], names: Sequence[str], lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Head and cells as shown; columns of which nothing is known are left out."""
    first = HEADS.get(names[0], names[0]) if names else ""
    device = "/".join(sorted({str(line.figures["device"]).upper() for line in lines if "device" in line.figures}))
    columns: list[tuple[str, list[str]]] = [(head, [line.labels[i] for line in lines]) for i, head in enumerate(heads)]
    columns.append(
        ("n", [f"{n} of {n + line.missing}" if line.missing else f"{n}" for line in lines for n in [line.runs]])
    )
    columns += [(HEADS.get(name, name), [_score(*line.scores[name]) for line in lines]) for name in names]
    gains = [line.difference for line in lines]
    columns += [
        (f"Δ {first}", ["" if gain is None else f"{100 * gain.estimate.value:+.1f}" for gain in gains]),
        ("95 % interval", ["" if gain is None else _interval(gain) for gain in gains]),
        ("p", ["" if gain is None else _p(gain.p) for gain in gains]),
        ("parameters", [_figure(line, "parameters", ",.0f") for line in lines]),
        ("FPS", [_figure(line, "fps", ".1f") for line in lines]),
        (f"memory ({device}, MiB)", [_figure(line, "memory", ".0f") for line in lines]),
    ]
    shown = [column for i, column in enumerate(columns) if i <= len(heads) or any(column[1])]
    return [head for head, _ in shown], [list(row) for row in zip(*(cells for _, cells in shown), strict=True)]


def _score(mean: float | None, spread: float | None) -> str:
    if mean is None:
        return ""
    return f"{100 * mean:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def _interval(found: Difference) -> str:
    return f"{100 * found.estimate.low:+.1f} to {100 * found.estimate.high:+.1f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _figure(line: Line, name: str, form: str) -> str:
    value = line.figures.get(name)
    return "" if value is None else format(value, form)
