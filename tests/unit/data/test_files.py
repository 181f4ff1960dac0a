from pathlib import Path

import pytest

from vosfw.data.files import replacing
from vosfw.data.index import mask_pictures
from vosfw.errors import OutputError


def test_appears_when_done(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.txt"
    with replacing(path) as draft:
        draft.write_text("whole")
        assert not path.exists()
        assert (draft.name[0], draft.suffix) == (".", ".part")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(KeyError), replacing(path) as draft:
        draft.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Cannot write '.*file/out\.txt'"), replacing(tmp_path / "file" / "out.txt"):
        pass
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="Cannot write"), replacing(tmp_path / "out") as draft:
        draft.write_text("a file cannot replace a folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "out"]


def test_a_draft_is_taken_for_no_mask(tmp_path: Path) -> None:
    with replacing(tmp_path / "00000.png") as draft:
        draft.write_text("what stays if the process is killed now")
        assert mask_pictures(tmp_path) == []
        assert list(tmp_path.rglob("*.png")) == []
