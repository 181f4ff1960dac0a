"""Label Studio's regions by hand."""

import json

import annotation_writers as writers
import pytest

from vosfw.data.folder import FolderDataset
from vosfw.data.importing import import_annotations
from vosfw.errors import DatasetError

HALF = {"points": [[0, 0], [50, 0], [50, 100], [0, 100]], "polygonlabels": ["cat"]}


def region(value, kind="polygonlabels", **more):
    size = {"original_width": 64, "original_height": 48}
    return {"id": "r", "type": kind, "value": value, "to_name": "image", **size, **more}


def imported(tmp_path, results, image="/data/local-files/?d=walk/00000.jpg"):
    writers.write_frames(tmp_path / "walk", 1)
    task = {"id": 1, "data": {"image": image}, "annotations": [{"result": result} for result in results]}
    (tmp_path / "a.json").write_text(json.dumps([task]))
    counts = import_annotations(tmp_path / "a.json", tmp_path / "out")
    return counts, FolderDataset(tmp_path / "out").video(0)


def test_percent_are_pixels_and_further_annotations_are_left_out(tmp_path):
    box = {"x": 75, "y": 50, "width": 12.5, "height": 25, "rectanglelabels": ["dog"]}
    first = [region(HALF), region(box, "rectanglelabels"), region({}, "choices"), region({**box, "rotation": 5})]
    counts, video = imported(tmp_path, [first, [region(HALF)]])
    ids = video.id_map(0)
    assert (ids[:, :32] == 1).all() and (ids == 1).sum() == 32 * 48
    assert (ids[24:36, 48:56] == 2).all() and (ids == 2).sum() == 96
    assert counts.left_out["further annotation of the same task"] == 1 and sum(counts.left_out.values()) == 3


@pytest.mark.parametrize("image", ["https://host/a/00000.jpg?x=1", "s3://bucket/00000.jpg", "walk/00000.jpg"])
def test_addresses_of_pictures(image, tmp_path):
    writers.write_frames(tmp_path, 1)
    assert imported(tmp_path, [[region(HALF)]], image)[0].masks == 1


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (region({"rle": [0, 0, 0, 9, 1], "brushlabels": ["a"]}, "brushlabels"), "hold 9 values; wanted 12288"),
        (region(HALF, original_width=None), "cannot be read|wanted pixels"),
        (region(HALF, original_width=10**9, original_height=10**9), "size of 1000000000x1000000000"),
        (region({"points": 3, "polygonlabels": ["a"]}), "region r"),
        (region({}, "videorectangle"), "no masks can be made"),
    ],
)
def test_a_fault_is_refused(one, said, tmp_path):
    with pytest.raises(DatasetError, match=said):
        imported(tmp_path, [[one]])


def test_a_path_out_of_the_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="leads out of the folder"):
        imported(tmp_path, [[region(HALF)]], "/data/local-files/?d=../../etc/secret.jpg")
