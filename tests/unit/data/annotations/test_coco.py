"""How COCO's images become videos."""

import json

import annotation_writers as writers
import numpy as np

from vosfw.data.folder import FolderDataset
from vosfw.data.importing import import_annotations

SQUARE = [[0, 0, 9, 0, 9, 9, 0, 9]]


def write(path, images, **more):
    annotations = [
        {"id": i, "image_id": image["id"], "category_id": 1, "segmentation": SQUARE, "track_id": 4}
        for i, image in enumerate(images)
    ]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [], **more}))
    return path


def test_videos_by_id_share_a_folder(tmp_path):
    writers.write_frames(tmp_path, 4)
    images = [{"id": t, "file_name": f"{t:05d}.jpg", "video_id": t // 2} for t in range(4)]
    source = write(tmp_path / "a.json", images, videos=[{"id": 0, "name": "first"}])
    import_annotations(source, tmp_path / "out")
    videos = FolderDataset(tmp_path / "out")
    assert videos.videos == ("1", "first") and videos.lengths == [2, 2]


def test_one_name_for_all(tmp_path):
    for name in ("a", "b"):
        writers.write_frames(tmp_path / name, 2)
    images = [
        {"id": i, "file_name": f"{n}/{t:05d}.jpg"} for i, (n, t) in enumerate((n, t) for n in "ab" for t in (0, 1))
    ]
    counts = import_annotations(write(tmp_path / "a.json", images), tmp_path / "out", video="all")
    video = FolderDataset(tmp_path / "out").video(0)
    assert counts.videos == 1 and video.name == "all" and video.frames == tuple(f"{t:05d}" for t in range(4))


def test_frames_in_another_order_than_their_names_are_numbered(tmp_path):
    writers.write_frames(tmp_path / "w", 3)
    images = [{"id": t, "file_name": f"w/{t:05d}.jpg", "frame_id": 2 - t, "video_id": 1} for t in range(3)]
    counts = import_annotations(write(tmp_path / "a.json", images), tmp_path / "out")
    assert any("do not sort in time" in note for note in counts.notes)
    first = (tmp_path / "out/frames/1/00000.jpg").read_bytes()
    assert first == (tmp_path / "w/00002.jpg").read_bytes()


def test_pictures_beside_frames_of_the_same_name_are_no_frames(tmp_path):
    source = writers.coco(tmp_path, [writers.blobs(0)], "runs")
    (tmp_path / "walk/00000.png").write_bytes((tmp_path / "walk/00000.jpg").read_bytes())
    import_annotations(source, tmp_path / "out")
    np.testing.assert_array_equal(FolderDataset(tmp_path / "out").video(0).id_map(0).numpy(), writers.blobs(0))
