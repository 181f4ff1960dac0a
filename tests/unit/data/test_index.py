from pathlib import Path

import pytest

from vosfw.data.index import data_root, frame_files, mask_files, read_list, select_videos, subfolder
from vosfw.errors import ConfigError, DatasetError


def test_frames_are_sorted_by_their_numbers(tmp_path: Path) -> None:
    for name in ("b2.jpg", "b10.PNG", "b1.jpeg", "a7.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [f.name for f in frame_files(tmp_path)] == ["a7.png", "b1.jpeg", "b2.jpg", "b10.PNG"]


def test_no_frames_and_two_of_a_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No frames in"):
        frame_files(tmp_path)
    (tmp_path / "1.png").touch()
    (tmp_path / "1.jpg").touch()
    with pytest.raises(DatasetError, match="Two frames named '1'"):
        frame_files(tmp_path)


def test_masks_by_the_place_of_their_frame(tmp_path: Path) -> None:
    for name in ("05.png", "15.png", "15.jpg"):
        (tmp_path / name).touch()
    assert mask_files(tmp_path, ["00", "05", "10", "15"]) == {1: tmp_path / "05.png", 3: tmp_path / "15.png"}
    with pytest.raises(DatasetError, match="No frame '15' for the mask"):
        mask_files(tmp_path, ["05", "10"])


def test_lists(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# mine\ncat\n\n dog  extra\n/JPEGImages/480p/emu/0.jpg /x\nemu\ncat\n")
    assert read_list(tmp_path / "a.txt") == ["cat", "dog", "emu"]


def test_selection(tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("cat\n")
    lists, present = {"few": tmp_path / "few.txt"}, ["cat", "dog"]
    assert select_videos("few", lists, present, present) == ["cat"]
    assert select_videos("all", lists, present, ["dog"]) == ["dog"]
    assert select_videos("dog", lists, present, present) == ["dog"]
    assert select_videos(["dog", "cat"], lists, present, present) == ["dog", "cat"]
    with pytest.raises(DatasetError, match=r"No video or list 'fewer'.*nearest: few"):
        select_videos("fewer", lists, present, present)
    with pytest.raises(DatasetError, match="names no video"):
        select_videos([], lists, present, present)


def test_root(tmp_path: Path) -> None:
    assert data_root("~/x") == Path.home() / "x"
    with pytest.raises(ConfigError, match=r"data\.root"):
        data_root(None)
    with pytest.raises(DatasetError, match=r"holds 'frames'"):
        subfolder(tmp_path, "frames")
