import logging

import pytest
from layouts import make_davis, make_own, make_youtube

from vosfw.data.dataset import ClipRequest
from vosfw.data.own import choose_split, own_videos
from vosfw.errors import ConfigError, DatasetError


def names(root, **options):
    return tuple(own_videos(root, part, **options).videos for part in ("train", "val"))


def test_whole_videos_are_held_out_by_a_seed(tmp_path, caplog):
    make_own(tmp_path, 5)
    with caplog.at_level(logging.INFO):
        train, val = names(tmp_path)
    assert len(val) == 1 and sorted(train + val) == [f"v{i}" for i in range(5)]
    assert f"validation on 1 video ({val[0]})" in caplog.text and "no lists: 1 of 5 videos held out" in caplog.text
    assert names(tmp_path) == (train, val)
    assert len({names(tmp_path, split_seed=seed)[1] for seed in range(20)}) == 5
    assert len(names(tmp_path, hold_out=0.4)[1]) == 2
    assert len(names(tmp_path, hold_out=0.99)[0]) == 1


def test_lists_come_first(tmp_path):
    make_own(tmp_path, 4)
    (tmp_path / "val.txt").write_text("v2\n")
    assert names(tmp_path) == (("v0", "v1", "v3"), ("v2",))
    (tmp_path / "train.txt").write_text("v3\n")
    assert names(tmp_path) == (("v3",), ("v2",))
    assert names(tmp_path, train_split=["v0"], val_split=["v1"]) == (("v0",), ("v1",))
    assert names(tmp_path, val_split="v1") == (("v0", "v2", "v3"), ("v1",))


def test_videos_without_enough_masks_are_left_out(tmp_path):
    make_own(tmp_path, 5)
    for mask in list((tmp_path / "masks" / "v1").iterdir())[1:]:
        mask.unlink()
    assert "v1" not in sum(names(tmp_path), ())
    (tmp_path / "split.txt").write_text("v0\nv1\nv2\nv3\n")
    assert set(sum(names(tmp_path), ())) == {"v0", "v2", "v3"}


def test_few_videos_are_cut_in_time(tmp_path, caplog):
    """Masks of frames 0, 2, 4, ... 10: what is validated on was not trained on."""
    make_own(tmp_path, 1, 12)
    with caplog.at_level(logging.INFO):
        train, val = (own_videos(tmp_path, part, hold_out=0.4) for part in ("train", "val"))
    assert "fewer than 3 videos: the last 40% of each one's masks are held out" in caplog.text
    assert (train.annotated, val.annotated) == ([[0, 2, 4, 6]], [[0, 2]])
    assert (train.lengths, val.lengths) == ([8], [4])
    video = val.video(0)
    assert video.frames == ("00008", "00009", "00010", "00011") and len(video) == 4
    whole = own_videos(tmp_path, "val", hold_out=0).video(0)
    assert (video.frame(1) == whole.frame(9)).all() and (video.truth(2) > 0).any() and video.truth(1) is None
    assert train[ClipRequest(0, (2, 6), 0)].meta.frames == ("00002", "00006")


def test_too_little_is_refused(tmp_path):
    make_own(tmp_path, 1, 6)
    with pytest.raises(DatasetError, match=r"'v0' has 3 masks.*takes 4.*own\.hold_out=0"):
        own_videos(tmp_path, "train")
    train, val = names(tmp_path, hold_out=0)
    assert train == val == ("v0",)
    with pytest.raises(ConfigError, match="hold_out is 1"):
        own_videos(tmp_path, "train", hold_out=1)
    for mask in list((tmp_path / "masks" / "v0").iterdir())[1:]:
        mask.unlink()
    with pytest.raises(DatasetError, match="none of 1 videos has 2 masks"):
        own_videos(tmp_path, "train")
    (tmp_path / "val.txt").write_text("v0\n")
    with pytest.raises(DatasetError, match=r"no video with 2 masks or more is left for (val|train)"):
        own_videos(tmp_path, "train")


def test_other_layouts_are_found_out(tmp_path):
    davis, youtube = make_davis(tmp_path / "davis"), make_youtube(tmp_path / "youtube", masks=5)
    assert names(davis) == (("cat", "dog"), ("bird",))
    assert names(youtube, hold_out=0.4) == (("a",), ("a",))
    (davis / "ImageSets" / "2017" / "val.txt").unlink()
    assert names(davis) == (("cat", "dog"), ("bird",))
    with pytest.raises(DatasetError, match="no layout"):
        own_videos(tmp_path, "train")


def test_what_is_scored_and_trained_on_is_said(tmp_path, caplog):
    make_own(tmp_path, 2)
    split = choose_split(["v0", "v1"], ["v0", "v1"], {}, ["v0", "v1"], "v1", 0.2, 0)
    assert split.train == ("v0", "v1") and split.val == ("v1",)
    assert "validated on and trained on" in caplog.text
