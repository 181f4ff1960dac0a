"""Opens annotation files of any format."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

from vosfw.data.annotated import Annotations
from vosfw.data.annotations import coco, cvat, label_studio, labelme
from vosfw.errors import DatasetError

READERS: tuple[ModuleType, ...] = (coco, labelme, label_studio, cvat)
SUFFIXES = (".json", ".xml")
LARGEST = 2 << 30
"""Bytes of the largest file that is read; instances of COCO's training images are 0.5 GB."""
WANTED = (
    "wanted COCO (also YouTube-VIS), labelme or Label Studio as .json, or CVAT's XML for images or video. Export in "
    "one of these formats"
)


def is_annotations(path: Path) -> bool:
    """Whether a path looks like annotations, and not like a data set of vosfw."""
    if path.is_file():
        return path.suffix.lower() in SUFFIXES
    if not path.is_dir() or any((path / name).is_dir() for name in ("frames", "JPEGImages")):
        return False
    return any(path.glob("*.json")) or any(path.glob("*.xml"))


def open_annotations(source: Path, watch: Callable[[int, int], None] | None = None) -> Annotations:
    """Read an annotation file, or a folder of labelme's.

    Args:
        source: File, or folder whose JSON and XML files (also in folders below) are all of one format.
        watch: Called with the number of files that are read, and of all.

    Raises:
        DatasetError: If there is no such file, or one of them cannot be read or is of no known format.
    """
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not files:
            raise DatasetError(f"No annotations in '{source}'; {WANTED}.")
    elif source.is_file():
        files = [source]
    else:
        raise DatasetError(f"No file '{source}'. Name an annotation file, or a folder of labelme's.")
    found: Annotations | None = None
    for done, path in enumerate(files):
        content = _parse(path)
        reader = next((reader for reader in READERS if reader.recognises(content)), None)
        if reader is None:
            raise DatasetError(f"'{path}' ({_kind(content)}) is of no format that vosfw knows; {WANTED}.")
        if found is None:
            found = Annotations(reader.NAME, source)
        if reader.NAME != found.format:
            raise DatasetError(
                f"'{path}' is {reader.NAME}, but '{files[0]}' {found.format}. Import one format at a time."
            )
        reader.read(path, content, found, source if source.is_dir() else source.parent)
        if watch is not None:
            watch(done + 1, len(files))
    assert found is not None
    return found


def _kind(content: Any) -> str:
    if isinstance(content, dict):
        keys = ", ".join(map(str, list(content)[:5]))
        return f"an object with the keys {keys}" if content else "an empty object"
    if isinstance(content, ElementTree.Element):
        return f"XML of <{content.tag}>"
    return f"a {type(content).__name__}" if content else "empty"


def _parse(path: Path) -> Any:
    """Content of a JSON or XML file."""
    if (size := path.stat().st_size) > LARGEST:
        raise DatasetError(f"'{path}' has {size} bytes; at most {LARGEST} are read. Export it in parts.")
    if size == 0:
        raise DatasetError(f"'{path}' is empty. Export the annotations again.")
    try:
        if path.suffix.lower() == ".xml":
            return ElementTree.parse(path, ElementTree.XMLParser(target=_NoDoctype(path))).getroot()
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise DatasetError(f"'{path}' is nested too deeply for annotations. Export them again.") from error
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise DatasetError(
            f"'{path}' cannot be read ({type(error).__name__}: {error}; {size} bytes). Is it cut off? Export it again."
        ) from error


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses a document type, and with it entities: their expansion can fill any memory or read other files."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Called by the parser, before it reads a declaration."""
        raise DatasetError(
            f"'{self._path}' declares a document type ('{name}'), which can hold harmful entities and which CVAT "
            "never writes. Remove the lines from <!DOCTYPE to its closing >."
        )
