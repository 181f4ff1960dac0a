"""Shapes of labelme by hand."""

import json

import annotation_writers as writers
import numpy as np
import pytest

from vosfw.data.folder import FolderDataset
from vosfw.data.importing import import_annotations
from vosfw.errors import DatasetError


def write(folder, t, shapes, image=None):
    content = {"shapes": shapes, "imagePath": image or f"{t:05d}.jpg", "imageHeight": 48, "imageWidth": 64}
    (folder / f"{t:05d}.json").write_text(json.dumps(content))


def shape(kind, points, label="cat", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def test_every_kind_of_shape(tmp_path):
    writers.write_frames(tmp_path / "in", 2)
    first = [
        shape("rectangle", [[10, 4], [2, 8]]),
        shape("circle", [[40, 20], [45, 20]], "dog"),
        shape("polygon", [[2, 20], [6, 20], [6, 24], [2, 24]]),
        shape("line", [[0, 0], [9, 9]]),
        shape("linestrip", [[0, 0], [9, 9], [9, 0]]),
    ]
    write(tmp_path / "in", 0, first)
    write(tmp_path / "in", 1, [])
    counts = import_annotations(tmp_path / "in", tmp_path / "out")
    assert dict(counts.shapes) == {"boxes": 1, "ellipses": 1, "polygons": 1} and counts.objects == 2
    assert dict(counts.left_out) == {"line, which has no area": 1, "linestrip, which has no area": 1}
    video = FolderDataset(tmp_path / "out").video(0)
    assert video.annotated == (0, 1) and not video.id_map(1).any()
    ids = video.id_map(0).numpy()
    # Shapes of a label are pieces of one object.
    assert (ids == 1).sum() == 32 + 16 and (ids[4:8, 2:10] == 1).all()
    assert (ids == 2).sum() == pytest.approx(np.pi * 25, rel=0.05)


def test_folders_are_videos(tmp_path):
    for name in ("a", "b"):
        writers.labelme(tmp_path / "in" / name, [writers.blobs(0)])
    counts = import_annotations(tmp_path / "in", tmp_path / "out")
    assert counts.videos == 2 and FolderDataset(tmp_path / "out").videos == ("a_walk", "b_walk")


def test_a_path_out_of_the_folder_is_refused(tmp_path):
    writers.write_frames(tmp_path / "in", 1)
    write(tmp_path / "in", 0, [shape("rectangle", [[1, 1], [9, 9]])], "../secret.jpg")
    with pytest.raises(DatasetError, match="leads out of the folder"):
        import_annotations(tmp_path / "in", tmp_path / "out")


def test_a_damaged_mask_is_named(tmp_path):
    writers.write_frames(tmp_path / "in", 1)
    write(tmp_path / "in", 0, [shape("mask", [[1, 1], [9, 9]], mask="AAAA")])
    with pytest.raises(DatasetError, match=r"00000\.json, shape 0 \(cat\): its mask is no PNG in base64"):
        import_annotations(tmp_path / "in", tmp_path / "out")
