"""CVAT's XML 1.1, for images and for video: polygons, masks, boxes and ellipses."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from vosfw.data.annotated import Annotations, Picture, Shape, size_of
from vosfw.data.outline import LeftOut, Outline, Polygons, box, ellipse, points_of, runs
from vosfw.errors import DatasetError

NAME = "CVAT"
SHAPES = ("polygon", "mask", "box", "ellipse", "polyline", "points", "cuboid", "skeleton", "tag")
TRACKS = ("track_id", "instance_id")
"""Attributes that hold an object's identity in XML for images, which has no tracks."""


def recognises(content: object) -> bool:
    """Whether a file is of this format."""
    return isinstance(content, Element) and content.tag == "annotations"


def read(path: Path, content: Any, found: Annotations, root: Path) -> None:
    """Add the frames of a file to ``found``."""
    if content.find("track") is not None:
        _read_tracks(path, content, found)
    for image in content.iter("image"):
        where = f"image {image.get('id')} ({image.get('name')})"
        with found.shape(path, where):
            file, shapes = image.get("name"), []
            if not file:
                raise DatasetError("it has no name")
            for place, element in enumerate(one for one in image if one.tag in SHAPES):
                with found.shape(path, f"{where}, {element.tag} {place}"):
                    shapes.append(_shape(element, f"{element.tag} {place}", element.get("label"), _track(element)))
            size = size_of(image.get("height"), image.get("width"), where)
            found.pictures.append(Picture(where, (file,), None, size, tuple(shapes), annotated=bool(shapes)))


def _read_tracks(path: Path, content: Element, found: Annotations) -> None:
    """Frames of XML for video, known by their numbers; between two key frames CVAT writes every frame."""
    size = size_of(content.findtext(".//original_size/height"), content.findtext(".//original_size/width"), "video")
    shapes: dict[int, list[Shape]] = defaultdict(list)
    for track in content.iter("track"):
        name = f"track {track.get('id')} ({track.get('label')})"
        seen: dict[int, bool] = {}
        for element in (one for one in track if one.tag in SHAPES):
            where = f"{name}, frame {element.get('frame')}"
            with found.shape(path, where):
                frame = int(element.attrib["frame"])
                if frame in seen:
                    raise DatasetError("a second shape of the track in this frame")
                seen[frame] = element.get("outside") == "1"
                # A frame that an object has left is annotated, too.
                here = shapes[frame]
                if not seen[frame]:
                    here.append(_shape(element, name, track.get("label"), str(track.get("id"))))
        frames = sorted(seen)
        gaps = sum(b - a - 1 for a, b in pairwise(frames) if not seen[a])
        if gaps:
            text = f"{name}: {gaps} frames between its key frames are not in the file, so they get no mask of it."
            found.complain(path, text, error=False)
    for frame in sorted(shapes):
        found.pictures.append(Picture(f"frame {frame}", (), frame, size, tuple(shapes[frame])))


def _shape(element: Element, where: str, label: str | None, track: str | None) -> Shape:
    return Shape(where, label or "object", track, _outline(element), int(element.get("z_order") or 0))


def _outline(element: Element) -> Outline:
    def number(name: str) -> float:
        return float(element.attrib[name])

    if element.tag == "polygon":
        points = element.attrib["points"].split(";")
        return Polygons((points_of([pair.split(",") for pair in points]),))
    if element.tag == "mask":
        counts = [int(count) for count in element.attrib["rle"].split(",")]
        size = size_of(element.attrib["height"], element.attrib["width"], "mask")
        if size is None:
            raise DatasetError("a mask of the size 0x0")
        corner = (int(number("top")), int(number("left")))
        return runs(counts, size, by_columns=False, corner=corner)
    if element.tag in ("box", "ellipse") and float(element.get("rotation") or 0):
        raise LeftOut(f"rotated {element.tag}")
    if element.tag == "box":
        return box(number("xtl"), number("ytl"), number("xbr"), number("ybr"))
    if element.tag == "ellipse":
        return ellipse(number("cx"), number("cy"), number("rx"), number("ry"))
    raise LeftOut(f"{element.tag}, which has no area")


def _track(element: Element) -> str | None:
    for attribute in element.iter("attribute"):
        if attribute.get("name") in TRACKS and attribute.text:
            return attribute.text.strip()
    if group := element.get("group_id"):
        return group
    return None
