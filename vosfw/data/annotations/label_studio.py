"""Label Studio's JSON: polygons, brush strokes, rectangles and ellipses of pictures."""

import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import numpy as np

from vosfw.data.annotated import Annotations, Picture, Shape, entries, size_of
from vosfw.data.outline import Brush, LeftOut, Outline, Polygons, box, ellipse, points_of
from vosfw.errors import DatasetError

NAME = "Label Studio"
LABELS = ("polygonlabels", "brushlabels", "rectanglelabels", "ellipselabels", "labels")


def recognises(content: object) -> bool:
    """Whether a file is of this format."""
    tasks = content if isinstance(content, list) else [content]
    return bool(tasks) and all(isinstance(task, dict) and "data" in task and "annotations" in task for task in tasks)


def read(path: Path, content: Any, found: Annotations, root: Path) -> None:
    """Add the frames of a file to ``found``.

    Of several annotations of a task the first that was not skipped is taken. An object's identity is the text in a
    region's ``meta``, if there is one.

    Raises:
        DatasetError: If the file has another form, or boxes of a video.
    """
    for task in entries(content if isinstance(content, list) else [content], "tasks", path):
        where = f"task {task.get('id')}"
        with found.shape(path, where):
            _read_task(path, task, where, found)


def _read_task(path: Path, task: dict[str, Any], where: str, found: Annotations) -> None:
    done = [one for one in entries(task, "annotations", path) if not one.get("was_cancelled")]
    if len(done) > 1:
        found.left_out["further annotation of the same task"] += len(done) - 1
        found.complain(path, f"{where}: {len(done)} annotations; the first one is taken.", error=False)
    results = entries(done[0], "result", path) if done else []
    shapes, sizes = [], set()
    name = "image"
    for region in results:
        place = f"region {region.get('id')}"
        if region.get("type") == "videorectangle":
            raise DatasetError(
                "'videorectangle' holds boxes of a video, of which no masks can be made. Annotate frames as images "
                "with polygons or brush"
            )
        if region.get("type") not in LABELS and region.get("type") not in ("polygon", "brush", "rectangle", "ellipse"):
            found.left_out[f"region of the type {region.get('type')}, which has no area"] += 1
            continue
        with found.shape(path, f"{where}, {place}"):
            name = str(region.get("to_name", name))
            size = size_of(region["original_height"], region["original_width"], place)
            if size is None:
                raise DatasetError("no original_height and original_width")
            if region.get("image_rotation"):
                raise LeftOut("region of a rotated picture")
            value = region["value"]
            labels = next((value[key] for key in LABELS if value.get(key)), ["object"])
            sizes.add(size)
            shapes.append(Shape(place, str(labels[0]), _track(region), _outline(value, size)))
    if len(sizes) > 1:
        raise DatasetError(f"its regions were drawn at {len(sizes)} sizes of the picture")
    size = next(iter(sizes), None)
    files = _files(task["data"], name)
    found.pictures.append(Picture(f"{where} ({files[0]})", files, None, size, tuple(shapes), annotated=bool(done)))


def _outline(value: dict[str, Any], size: tuple[int, int]) -> Outline:
    """Coordinates are percent of the picture."""
    across, down = size[1] / 100, size[0] / 100
    if "rle" in value:
        if value.get("format", "rle") != "rle":
            raise DatasetError(f"a brush of the format {value['format']!r}; wanted 'rle'")
        return Brush(value["rle"], size)
    if "points" in value:
        return Polygons((points_of(value["points"]) * np.array([across, down]),))
    if value.get("rotation"):
        raise LeftOut("rotated rectangle or ellipse")
    x, y = value["x"] * across, value["y"] * down
    if "radiusX" in value:
        return ellipse(x, y, value["radiusX"] * across, value["radiusY"] * down)
    if "width" in value:
        return box(x, y, x + value["width"] * across, y + value["height"] * down)
    raise LeftOut("region without points or run lengths")


def _track(region: dict[str, Any]) -> str | None:
    meta = region.get("meta")
    text = meta.get("text") if isinstance(meta, dict) else None
    return str(text[0]) if isinstance(text, list) and text else None


def _files(data: Any, name: str) -> tuple[str, ...]:
    """Names a picture may have: that of its address, and without what Label Studio puts before it on upload."""
    value = data.get(name) or data.get("image")
    if value is None:
        value = next((one for one in data.values() if isinstance(one, str) and "." in one), None)
    if not isinstance(value, str):
        raise DatasetError("its 'data' name no picture")
    address = urlparse(value)
    if "d" in (query := parse_qs(address.query)):
        return (query["d"][0],)
    if address.scheme in ("http", "https", "s3", "gs") or address.path.startswith("/data/upload/"):
        base = PurePosixPath(unquote(address.path)).name
        return (base, re.sub(r"^[0-9a-f]{8}-", "", base))
    return (unquote(value),)
