"""labelme's JSON, a file for each frame: polygons, rectangles, circles and masks."""

from pathlib import Path
from typing import Any

import numpy as np

from vosfw.data.annotated import Annotations, Picture, Shape, entries, size_of
from vosfw.data.outline import LeftOut, Outline, Polygons, Stored, box, ellipse, points_of
from vosfw.errors import DatasetError

NAME = "labelme"


def recognises(content: object) -> bool:
    """Whether a file is of this format."""
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def read(path: Path, content: Any, found: Annotations, root: Path) -> None:
    """Add the frame of a file to ``found``.

    An object is what has one label and, if there is one, one ``group_id``: shapes of both equal are its pieces.

    Raises:
        DatasetError: If the file has another form.
    """
    shapes = []
    for place, shape in enumerate(entries(content, "shapes", path)):
        where = f"shape {place} ({shape.get('label')})"
        with found.shape(path, where):
            label, group = str(shape["label"]), shape.get("group_id")
            track = label if group is None else str(group)
            shapes.append(Shape(where, label, track, _outline(shape)))
    with found.shape(path, "picture"):
        if not isinstance(image := content["imagePath"], str) or not image:
            raise DatasetError(f"imagePath is {image!r}; wanted a name")
        file = (path.parent.relative_to(root) / image.replace("\\", "/")).as_posix()
        size = size_of(content.get("imageHeight"), content.get("imageWidth"), "picture")
        found.pictures.append(Picture(path.name, (file,), None, size, tuple(shapes)))


def _outline(shape: dict[str, Any]) -> Outline:
    kind, points = shape.get("shape_type", "polygon"), shape["points"]
    if kind == "polygon":
        return Polygons((points_of(points),))
    if kind not in ("rectangle", "circle", "mask"):
        raise LeftOut(f"{kind}, which has no area")
    corners = np.array(points, np.float64)
    if corners.shape[-1:] != (2,) or not np.isfinite(corners).all() or len(corners) < 2:
        raise DatasetError(f"a {kind} of the points {points!r}; wanted two")
    (x0, y0), (x1, y1) = corners[:2].tolist()
    if kind == "mask":
        return Stored(str(shape["mask"]), (round(y0), round(x0)))
    if kind == "circle":
        radius = float(np.hypot(x1 - x0, y1 - y0))
        return ellipse(x0, y0, radius, radius)
    if len(corners) == 4:
        return Polygons((corners,), "boxes")
    return box(x0, y0, x1, y1)
