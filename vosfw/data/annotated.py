"""What the readers of annotation files (``vosfw.data.annotations``) return."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vosfw.data.outline import LeftOut, Outline
from vosfw.data.places import Problem
from vosfw.data.run_lengths import check_size
from vosfw.errors import DatasetError


class Shape(NamedTuple):
    """One object in one frame, or a piece of it."""

    where: str
    """What it is in its file, for messages."""
    category: str
    track: str | None
    """The same in all frames that show the object; None if the file does not tell."""
    outline: Outline
    order: float | int = 0
    """Shapes of a higher one are drawn over others; in order of the file if equal."""


class Picture(NamedTuple):
    """One frame."""

    where: str
    files: tuple[str, ...]
    """Names it may have, relative to the folder of frames; empty if only its number is known."""
    number: int | None
    """Its number in the video, from 0."""
    size: tuple[int, int] | None
    """Height and width, if the file tells."""
    shapes: tuple[Shape, ...]
    video: str | None = None
    """None: one video for each folder of frames."""
    annotated: bool = True
    """Whether a frame without shapes is known to show no object."""


@dataclass
class Annotations:
    """All that was found."""

    format: str
    path: Path
    pictures: list[Picture] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """What no mask can be made of, by the reason."""
    problems: list[Problem] = field(default_factory=list)

    def complain(self, path: Path, text: str, *, error: bool = True) -> None:
        """Note something wrong; errors keep the annotations from being imported."""
        self.problems.append(Problem(error, path, text))

    @contextmanager
    def shape(self, path: Path, where: str) -> Iterator[None]:
        """Reads one shape: what cannot be used is counted, what is damaged noted as an error."""
        try:
            yield
        except LeftOut as reason:
            self.left_out[str(reason)] += 1
            self.complain(path, f"{where}: {reason}; left out.", error=False)
        except DatasetError as error:
            self.complain(path, f"{where}: {error}. Export it again, or delete it.")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            self.complain(path, f"{where}: cannot be read ({type(error).__name__}: {error}). Export it again.")


def entries(content: Any, key: str, path: Path) -> list[dict[str, Any]]:
    """A list of objects in a JSON file.

    Raises:
        DatasetError: If it is none.
    """
    found = content.get(key, []) if isinstance(content, dict) else content
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise DatasetError(f"'{path}': '{key}' is no list of objects. Export the annotations again.")
    return found


def size_of(height: Any, width: Any, where: str) -> tuple[int, int] | None:
    """Height and width as a file declares them; None if it does not.

    Raises:
        DatasetError: If they are no size of a picture.
    """
    if height in (None, 0) and width in (None, 0):
        return None
    try:
        size = (int(height), int(width))
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{where}: height {height!r} and width {width!r}; wanted pixels") from error
    try:
        check_size(size)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from error
    return size
