"""Masks that went through a format of another tool come back."""

import json
import re

import annotation_writers as writers
import numpy as np
import pytest
from layouts import picture, save_frame

from vosfw.cli.main import main
from vosfw.data.folder import FolderDataset
from vosfw.data.io import read_mask, write_video
from vosfw.data.youtube_vos import read_categories

MASKS = [writers.blobs(t) for t in range(3)]


def run(*arguments):
    return main([*map(str, arguments), "--quiet"])


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(("name", "kind"), writers.FORMATS)
def test_masks_come_back(name, kind, tmp_path, capsys):
    source, out = writers.FORMATS[name, kind](tmp_path / "in", MASKS, kind), tmp_path / "out"
    assert run("check", source) == 0, capsys.readouterr().out
    assert run("import", source, "--out", out) == 0, capsys.readouterr().err
    assert re.search(r"1 videos, 3 frames, 3 masks, 3 objects from 8 ", capsys.readouterr().out)
    assert run("check", out) == 0
    assert "0 errors, 0 notes" in capsys.readouterr().out
    videos = FolderDataset(out)
    assert videos.annotated == [[0, 1, 2]]
    video = videos.video(0)
    assert video.introduced == {1: 0, 2: 0, 3: 1}
    for t, wanted in enumerate(MASKS):
        ids = video.id_map(t).numpy()
        if kind == "polygons":
            for id_, mask in writers.objects(wanted):
                assert ((ids == id_) & mask).sum() >= 0.95 * ((ids == id_) | mask).sum()
        else:
            np.testing.assert_array_equal(ids, wanted)
    assert read_categories(out / "meta.json")[videos.videos[0]] == writers.NAMES


def test_frames_are_copied_to_the_byte_and_those_between_come_along(tmp_path):
    source = writers.coco(tmp_path / "in", MASKS)
    save_frame(tmp_path / "in/walk/00003.jpg", picture(3, writers.SIZE))
    assert run("import", source, "--out", tmp_path / "out") == 0
    for t in range(4):
        name = f"walk/{t:05d}.jpg"
        assert (tmp_path / "out/frames" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()
    assert FolderDataset(tmp_path / "out").annotated == [[0, 1, 2]]


def test_a_video_file_gives_the_frames(tmp_path):
    source = writers.cvat_video(tmp_path / "in", MASKS, "runs")
    with write_video(tmp_path / "clip.mp4", 10, writers.SIZE) as writer:
        for t in range(5):
            writer.add(picture(t, writers.SIZE))
    assert run("import", source, "--out", tmp_path / "out", "--frames", tmp_path / "clip.mp4") == 0
    assert (tmp_path / "out/frames/clip.mp4").read_bytes() == (tmp_path / "clip.mp4").read_bytes()
    video = FolderDataset(tmp_path / "out").video(0)
    assert len(video) == 5 and video.annotated == (0, 1, 2)
    np.testing.assert_array_equal(video.id_map(2).numpy(), MASKS[2])


def test_an_earlier_import_is_kept_unless_told_otherwise(tmp_path, capsys):
    source, out = writers.coco(tmp_path / "in", MASKS, "runs"), tmp_path / "out"
    assert run("import", source, "--out", out) == 0
    mask = out / "masks/walk/00001.png"
    mask.unlink()
    assert run("import", source, "--out", out) == 1
    assert "--resume goes on" in capsys.readouterr().err and not mask.exists()
    assert run("import", source, "--out", out, "--resume") == 0 and mask.exists()
    edit(source, lambda c: c["images"].pop())
    edit(source, lambda c: c.update(annotations=[a for a in c["annotations"] if a["image_id"] != 9]))
    assert run("import", source, "--out", out, "--resume") == 1
    assert "other annotations" in capsys.readouterr().err
    assert run("import", source, "--out", out, "--force") == 0
    assert not (out / "masks/walk/00002.png").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("all of it")
    for more in ((), ("--force",), ("--resume",)):
        assert run("import", source, "--out", tmp_path / "mine", *more) == 1
    assert (tmp_path / "mine/thesis.txt").read_text() == "all of it"


def test_overlap_is_counted_and_the_later_object_wins(tmp_path, capsys):
    source = writers.coco(tmp_path / "in", [np.zeros(writers.SIZE, np.uint8)])
    square = {"image_id": 7, "category_id": 1}
    boxes = [[0, 0, 10, 0, 10, 10, 0, 10], [5, 5, 15, 5, 15, 15, 5, 15]]
    edit(
        source,
        lambda c: c.update(
            annotations=[square | {"id": i, "track_id": 2 - i, "segmentation": [b]} for i, b in enumerate(boxes)]
        ),
    )
    assert run("import", source, "--out", tmp_path / "out") == 0
    assert "overlap: 25 pixels" in capsys.readouterr().out
    ids = read_mask(tmp_path / "out/masks/walk/00000.png")
    assert (ids == 1).sum() == 100 and (ids == 2).sum() == 75 and ids[7, 7] == 1


def test_without_tracks_the_order_tells_objects_apart(tmp_path, capsys):
    source = writers.coco(tmp_path / "in", MASKS, "runs", track=False)
    edit(source, lambda c: [a.update(category_id=1) for a in c["annotations"]])
    assert run("import", source, "--out", tmp_path / "out") == 0
    assert "tells no tracks; objects of cat" in capsys.readouterr().out
    np.testing.assert_array_equal(read_mask(tmp_path / "out/masks/walk/00001.png").numpy(), MASKS[1])


def test_names_in_any_script(tmp_path):
    source = writers.coco(tmp_path / "in", MASKS, "runs", folder="猫 и собака")
    assert run("import", source, "--out", tmp_path / "out") == 0
    assert FolderDataset(tmp_path / "out").videos == ("猫 и собака",)


COCO = {
    "missing frame": (lambda c: c["images"][1].update(file_name="walk/9.jpg"), r"1 of 3 frames are not in.*--frames"),
    "leads out": (lambda c: c["images"][1].update(file_name="../../secret.jpg"), r"leads out of the folder"),
    "absolute": (lambda c: c["images"][1].update(file_name="/etc/passwd"), r"leads out of the folder"),
    "of Windows": (lambda c: c["images"][1].update(file_name="..\\x.jpg"), r"leads out of the folder"),
    "drive": (lambda c: c["images"][1].update(file_name="C:\\x.jpg"), r"leads out of the folder"),
    "size": (lambda c: c["images"][1].update(height=50), r"annotated at 50x64, .* is 48x64"),
    "image id twice": (lambda c: c["images"][1].update(id=7), r"Image id 7 occurs more than once"),
    "no image": (lambda c: c["annotations"][1].update(image_id=99), r"annotation 1: no image 99"),
    "runs too short": (
        lambda c: c["annotations"][1].update(segmentation={"size": [48, 64], "counts": [5, 5]}),
        r"sum up to 10 pixels, but 48x64",
    ),
    "huge size": (
        lambda c: c["annotations"][1].update(segmentation={"size": [900000, 900000], "counts": [810000000000]}),
        r"size of 900000x900000.*wanted 1 to",
    ),
    "cut off": (
        lambda c: c["annotations"][1].update(segmentation={"size": [48, 64], "counts": "o"}),
        r"end within a number",
    ),
    "no text": (
        lambda c: c["annotations"][1].update(segmentation={"size": [48, 64], "counts": "~~"}),
        r"hold '~' at 0",
    ),
    "negative run": (
        lambda c: c["annotations"][1].update(segmentation={"size": [48, 64], "counts": [-1, 48 * 64 + 1]}),
        r"run length is -1",
    ),
    "word for a number": (
        lambda c: c["annotations"][1].update(segmentation=[["a", 1, 2, 3, 4, 5]]),
        r"points are no numbers",
    ),
    "no numbers": (
        lambda c: c["annotations"][1].update(segmentation=[[float("nan")] * 6]),
        r"wanted finite numbers",
    ),
    "too many objects": (
        lambda c: c.update(
            annotations=[
                {"id": i, "image_id": 7, "category_id": 1, "track_id": i, "segmentation": [[0, 0, 9, 0, 9, 9]]}
                for i in range(300)
            ]
        ),
        r"300 objects; at most 254",
    ),
    "annotations as an object": (lambda c: c.update(annotations={}), r"'annotations' is no list"),
    "images of numbers": (lambda c: c.update(images=[1, 2]), r"'images' is no list of objects"),
    "no images": (lambda c: c.update(images=[], annotations=[]), r"No frame in it|No object"),
}


@pytest.mark.parametrize("fault", COCO)
def test_a_fault_is_refused_and_nothing_is_written(fault, tmp_path, capsys):
    source = writers.coco(tmp_path / "in", MASKS)
    change, said = COCO[fault]
    edit(source, change)
    for command in (("check", source), ("import", source, "--out", tmp_path / "out")):
        assert run(*command) == 1
        captured = capsys.readouterr()
        assert re.search(said, captured.out + captured.err), captured.out + captured.err
        assert "coco.json" in captured.out + captured.err
    assert not (tmp_path / "out").exists()


NOTES = {
    "line": (lambda c: c["annotations"][1].update(segmentation=[[1, 1, 5, 5]]), "1 x polygon of fewer than 3 points"),
    "box only": (lambda c: c["annotations"][1].pop("segmentation"), "1 x annotation without segmentation"),
    "beyond": (
        lambda c: c["annotations"][0].update(segmentation=[[0, 0, 90, 0, 90, 20, 0, 20]]),
        "reaches 26 pixels out",
    ),
    "empty": (
        lambda c: c["annotations"][1].update(segmentation={"size": [48, 64], "counts": [48 * 64]}),
        "1 x shape that covers no pixel",
    ),
    "id twice": (lambda c: c["annotations"][1].update(id=0), "occur more than once"),
    "no category": (lambda c: c["annotations"][1].update(category_id=77), "no category 77"),
    "frame without annotation": (
        lambda c: c.update(annotations=[a for a in c["annotations"] if a["image_id"] != 8]),
        "1 frames are without a",
    ),
}


@pytest.mark.parametrize("fault", NOTES)
def test_what_can_be_worked_with_is_told(fault, tmp_path, capsys):
    source = writers.coco(tmp_path / "in", MASKS)
    change, said = NOTES[fault]
    edit(source, change)
    assert run("check", source) == 0
    assert " 1 note" in capsys.readouterr().out
    assert run("import", source, "--out", tmp_path / "out") == 0
    assert re.search(said, capsys.readouterr().out)


CONTENTS = {
    "empty": ("a.json", "", "is empty"),
    "empty object": ("a.json", "{}", "an empty object"),
    "empty list": ("a.json", "[]", "empty.* no format"),
    "number": ("a.json", "3", "a int.* no format"),
    "another list": ("a.json", "[1, 2]", "a list.* no format"),
    "cut off": ("a.json", '{"images": [', "cut off"),
    "no text": ("a.json", b"\xff\xfe\x00", "cannot be read"),
    "deep": ("a.json", "[" * 100_000, "nested too deeply"),
    "xml cut off": ("a.xml", "<annotations><track", "cut off"),
    "another xml": ("a.xml", "<html/>", "XML of <html>"),
    "xml without frames": ("a.xml", "<annotations/>", "No frame|No object"),
    "entities": (
        "a.xml",
        '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><annotations>&c;</annotations>',
        "declares a document type.*Remove",
    ),
    "file by entity": (
        "a.xml",
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotations>&b;</annotations>',
        "declares a document type",
    ),
    "video boxes": (
        "a.json",
        json.dumps([{"id": 4, "data": {"video": "a.mp4"}, "annotations": [{"result": [{"type": "videorectangle"}]}]}]),
        "task 4: 'videorectangle' holds boxes of a video",
    ),
}


@pytest.mark.parametrize("fault", CONTENTS)
def test_a_strange_file_is_refused(fault, tmp_path, capsys):
    name, content, said = CONTENTS[fault]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for command in (("check", path), ("import", path, "--out", tmp_path / "out")):
        assert run(*command) == 1
        captured = capsys.readouterr()
        assert re.search(said, captured.out + captured.err), captured.out + captured.err
        assert name in captured.out + captured.err
    assert not (tmp_path / "out").exists()


def test_a_link_out_of_the_folder_is_not_followed(tmp_path, capsys):
    source = writers.coco(tmp_path / "in", MASKS)
    (tmp_path / "in/walk/00001.jpg").rename(tmp_path / "secret.jpg")
    (tmp_path / "in/walk/00001.jpg").symlink_to(tmp_path / "secret.jpg")
    assert run("import", source, "--out", tmp_path / "out") == 1
    assert "is a link out of" in capsys.readouterr().err
