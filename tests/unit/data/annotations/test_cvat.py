"""CVAT's tracks and shapes by hand."""

import annotation_writers as writers
import numpy as np
import pytest

from vosfw.data.folder import FolderDataset
from vosfw.data.importing import import_annotations
from vosfw.errors import DatasetError

SQUARE = 'points="2,2;12,2;12,12;2,12"'


def imported(tmp_path, body, frames=3):
    writers.write_frames(tmp_path / "images", frames)
    (tmp_path / "a.xml").write_text(f"<annotations>{body}</annotations>", encoding="utf-8")
    counts = import_annotations(tmp_path / "a.xml", tmp_path / "out")
    return counts, FolderDataset(tmp_path / "out").video(0)


def test_an_object_that_is_outside_is_not_there(tmp_path):
    body = (
        f'<track id="3" label="cat"><polygon frame="0" outside="0" {SQUARE}/>'
        f'<polygon frame="1" outside="1" {SQUARE}/></track>'
    )
    counts, video = imported(tmp_path, body)
    assert (counts.frames, counts.masks) == (3, 2)
    assert video.id_map(0).sum() == 100 and not video.id_map(1).any()


def test_a_higher_order_lies_above_whatever_the_file_says_first(tmp_path):
    body = '<image id="0" name="00000.jpg" width="64" height="48">'
    body += f'<polygon label="a" z_order="1" {SQUARE}/><polygon label="b" z_order="0" {SQUARE}/></image>'
    counts, video = imported(tmp_path, body)
    assert np.unique(video.id_map(0)).tolist() == [0, 1] and counts.overlapping == 100


def test_other_shapes(tmp_path):
    body = (
        '<image id="0" name="00000.jpg" width="64" height="48"><box label="a" xtl="1" ytl="1" xbr="5" ybr="5"/>'
        '<ellipse label="b" cx="30" cy="20" rx="8" ry="6"/>'
        '<box label="a" xtl="1" ytl="1" xbr="5" ybr="5" rotation="9"/>'
        '<polyline label="a" points="1,1;5,5"/><tag label="a"/></image>'
    )
    counts, video = imported(tmp_path, body)
    assert dict(counts.shapes) == {"boxes": 1, "ellipses": 1} and sum(counts.left_out.values()) == 3
    assert (video.id_map(0) == 1).sum() == 16
    assert (video.id_map(0) == 2).sum() == pytest.approx(np.pi * 48, rel=0.05)


def test_key_frames_alone_are_noted(tmp_path):
    shapes = "".join(f'<polygon frame="{t}" outside="0" {SQUARE}/>' for t in (0, 2))
    counts, video = imported(tmp_path, f'<track id="1" label="cat">{shapes}</track>')
    assert any("1 frames between its key frames" in note for note in counts.notes) and video.annotated == (0, 2)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f'<track id="1" label="a"><polygon frame="9" outside="0" {SQUARE}/></track>', "1 of 1 frames are not in"),
        ('<track id="1" label="a"><polygon frame="0" outside="0" points="a,b"/></track>', r"track 1 \(a\), frame 0"),
        (f'<track id="1" label="a"><polygon outside="0" {SQUARE}/></track>', "frame None: cannot be read"),
        (
            '<track id="1" label="a"><mask frame="0" rle="3, 4" left="0" top="0" width="9" height="9"/></track>',
            "sum up to 7 pixels, but 9x9",
        ),
        (f'<track id="1" label="a">{f"""<polygon frame="0" outside="0" {SQUARE}/>""" * 2}</track>', "a second shape"),
        ('<image id="0" name="00000.jpg" width="99" height="48"/>', r"annotated at 48x99"),
    ],
)
def test_a_fault_is_refused(body, said, tmp_path):
    with pytest.raises(DatasetError, match=said):
        imported(tmp_path, body)
