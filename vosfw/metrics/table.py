"""An evaluation as text, CSV or JSON."""

import csv
import io
import json
import math
from collections.abc import Iterator

from vosfw.metrics.result import JAndFResult, Score

_HEADS = ("J&F", "J", "J-recall", "J-decay", "F", "F-recall", "F-decay")


def to_text(result: JAndFResult, objects: bool = True) -> str:
    """An aligned table: overall, then each video and, if it has several, its objects.

    Args:
        result: To be shown.
        objects: Give the objects their own lines.
    """
    rows: list[tuple[str, ...]] = [("sequence", "object", "frames", *_HEADS)]
    for level, name, key, frames, score in _rows(result):
        if level != "object":
            rows.append((name or "all", "", frames, *_figures(score)))
        elif objects and len(result.sequences[name].objects) > 1:
            rows.append(("", key, frames, *_figures(score)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    lines.insert(1, "-" * len(lines[0]))
    lines += [f"{name}: not scored, {reason}" for name, reason in result.unscored.items()]
    return "\n".join(lines) + "\n"


def to_csv(result: JAndFResult) -> str:
    """One line per level (overall, sequence, object), with full precision; empty cells where there is no number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("level", "sequence", "object", "frames", *Score._fields))
    for level, name, key, frames, score in _rows(result):
        writer.writerow((level, name, key, frames, *("" if math.isnan(value) else repr(value) for value in score)))
    return text.getvalue()


def to_json(result: JAndFResult, per_frame: bool = True) -> str:
    """``JAndFResult.to_json`` as text."""
    return json.dumps(result.to_json(per_frame), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _rows(result: JAndFResult) -> Iterator[tuple[str, str, str, str, Score]]:
    """Level, sequence, object, number of scored frames and score of every line."""
    yield "overall", "", "", "", result.score
    for name, score in result.groups.items():
        yield "group", name, "", "", score
    for name, sequence in result.sequences.items():
        frames = str(len(sequence.frames))
        yield "sequence", name, "", frames, sequence.score
        for key, found in sequence.objects.items():
            yield "object", name, str(key), frames, found.score


def _figures(score: Score) -> tuple[str, ...]:
    """Figures to four decimals."""
    return tuple("-" if math.isnan(value) else f"{value:.4f}" for value in score)
