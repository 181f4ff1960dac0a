"""COCO's JSON: polygons, run lengths, and videos in the form of YouTube-VIS."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from vosfw.data.annotated import Annotations, Picture, Shape, entries, size_of
from vosfw.data.outline import LeftOut, Outline, Polygons, points_of, runs
from vosfw.data.run_lengths import decode_counts
from vosfw.errors import DatasetError

NAME = "COCO"
TRACKS = ("track_id", "instance_id")
"""Fields, or attributes, that hold an object's identity."""


def recognises(content: object) -> bool:
    """Whether a file is of this format."""
    return isinstance(content, dict) and "annotations" in content and ("images" in content or "videos" in content)


def read(path: Path, content: Any, found: Annotations, root: Path) -> None:
    """Add the frames of a file to ``found``.

    Raises:
        DatasetError: If the file has another form.
    """
    categories: dict[Any, str] = {}
    for entry in entries(content, "categories", path):
        id_, name = entry.get("id"), str(entry.get("name", entry.get("id")))
        if categories.get(id_, name) != name:
            found.complain(path, f"Category {id_} is both '{categories[id_]}' and '{name}'. Renumber one.")
        categories[id_] = name
    annotations = entries(content, "annotations", path)
    repeated = _repeated(annotations)
    if repeated and len(repeated) < len(annotations):
        found.complain(path, f"Annotation ids {repeated[:5]} occur more than once; each is taken.", error=False)
    for annotation in annotations:
        if annotation.get("category_id") not in categories and categories:
            text = f"annotation {annotation.get('id')}: no category {annotation.get('category_id')!r} in 'categories'"
            found.complain(path, text + "; its number is its name.", error=False)
    if any("segmentations" in annotation for annotation in annotations) or "images" not in content:
        _read_videos(path, content, found, annotations, categories)
    else:
        _read_images(path, content, found, annotations, categories)


def _read_images(
    path: Path, content: Any, found: Annotations, annotations: list[dict[str, Any]], categories: dict[Any, str]
) -> None:
    images = entries(content, "images", path)
    for id_ in _repeated(images):
        found.complain(path, f"Image id {id_} occurs more than once. Give each image an id of its own.")
    known = {image.get("id") for image in images}
    shapes: dict[Any, list[Shape]] = defaultdict(list)
    for annotation in annotations:
        where = f"annotation {annotation.get('id')}"
        with found.shape(path, where):
            image = annotation["image_id"]
            if image not in known:
                raise DatasetError(f"no image {image!r} in 'images'")
            outline = _outline(annotation.get("segmentation"))
            shapes[image].append(Shape(where, _category(annotation, categories), _track(annotation), outline))
    names = {video.get("id"): str(video.get("name", video.get("id"))) for video in entries(content, "videos", path)}
    for image in images:
        where = f"image {image.get('id')} ({image.get('file_name')})"
        with found.shape(path, where):
            if not isinstance(file := image["file_name"], str) or not file:
                raise DatasetError(f"file_name is {file!r}; wanted a name")
            video = image.get("video_id")
            index = image.get("frame_id", image.get("frame_index"))
            found.pictures.append(
                Picture(
                    where,
                    (file,),
                    index if isinstance(index, int) else None,
                    size_of(image.get("height"), image.get("width"), where),
                    tuple(shapes[image["id"]]),
                    None if video is None else names.get(video, str(video)),
                    annotated=bool(shapes[image["id"]]),
                )
            )


def _read_videos(
    path: Path, content: Any, found: Annotations, annotations: list[dict[str, Any]], categories: dict[Any, str]
) -> None:
    videos = entries(content, "videos", path)
    for id_ in _repeated(videos):
        found.complain(path, f"Video id {id_} occurs more than once. Give each video an id of its own.")
    lengths = {video.get("id"): len(video.get("file_names", ())) for video in videos}
    shapes: dict[tuple[Any, int], list[Shape]] = defaultdict(list)
    for place, annotation in enumerate(annotations):
        where = f"annotation {annotation.get('id')}"
        with found.shape(path, where):
            video, outlines = annotation["video_id"], annotation["segmentations"]
            if video not in lengths:
                raise DatasetError(f"no video {video!r} in 'videos'")
            if len(outlines) != lengths[video]:
                raise DatasetError(f"{len(outlines)} segmentations for the {lengths[video]} frames of video {video!r}")
            track = _track(annotation) or str(annotation.get("id", place))
            for index, segmentation in enumerate(outlines):
                if segmentation:
                    with found.shape(path, f"{where}, frame {index}"):
                        shape = Shape(where, _category(annotation, categories), track, _outline(segmentation))
                        shapes[video, index].append(shape)
    for video in videos:
        where = f"video {video.get('id')}"
        with found.shape(path, where):
            size = size_of(video.get("height"), video.get("width"), where)
            files = [str(file) for file in video["file_names"]]
            name = video.get("name") or (Path(files[0]).parent.name if files else "") or str(video["id"])
            for index, file in enumerate(files):
                one = tuple(shapes[video["id"], index])
                found.pictures.append(Picture(f"{where}, frame {index} ({file})", (file,), index, size, one, str(name)))


def _outline(segmentation: Any) -> Outline:
    if isinstance(segmentation, dict):
        height, width = segmentation["size"]
        size = size_of(height, width, "segmentation")
        if size is None:
            raise DatasetError("run lengths of the size 0x0")
        counts = segmentation["counts"]
        return runs(decode_counts(counts) if isinstance(counts, str) else list(counts), size, by_columns=True)
    if not segmentation:
        raise LeftOut("annotation without segmentation (a box alone is no mask)")
    flat = not isinstance(segmentation[0], list)
    return Polygons(tuple(points_of(part) for part in ([segmentation] if flat else segmentation)))


def _category(annotation: dict[str, Any], categories: dict[Any, str]) -> str:
    id_ = annotation.get("category_id")
    return categories.get(id_, str(id_))


def _track(annotation: dict[str, Any]) -> str | None:
    attributes = annotation.get("attributes")
    for place in (annotation, attributes if isinstance(attributes, dict) else {}):
        for name in TRACKS:
            if place.get(name) is not None:
                return str(place[name])
    return None


def _repeated(items: list[dict[str, Any]]) -> list[str]:
    return [id_ for id_, count in Counter(str(item.get("id")) for item in items).items() if count > 1]
