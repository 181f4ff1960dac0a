from pathlib import Path

import pytest

from vosfw.data.youtube_vos import YouTubeVOSDataset
from vosfw.errors import DatasetError


def test_training_split(youtube: Path) -> None:
    dataset = YouTubeVOSDataset(youtube, "train")
    assert dataset.videos == ("a",)
    assert dataset.lengths == [4]
    assert dataset.annotated == [[0, 1, 2, 3]]
    assert dataset.video(0).frames == ("00000", "00005", "00010", "00015")


def test_objects_join_when_their_first_mask_comes(youtube: Path) -> None:
    video = YouTubeVOSDataset(youtube, "valid").video(0)
    assert video.ids == (3, 5)
    assert video.given == {0: (0,), 2: (1,)}
    assert all(video.wanted)


def test_all_frames_are_seen_and_few_are_wanted(youtube: Path) -> None:
    video = YouTubeVOSDataset(youtube, "valid", all_frames=True).video(0)
    assert len(video) == 20
    assert [t for t, wanted in enumerate(video.wanted) if wanted] == [0, 5, 10, 15]
    assert video.given == {0: (0,), 10: (1,)}


def test_categories(youtube: Path) -> None:
    dataset = YouTubeVOSDataset(youtube, "valid")
    assert dataset.categories == {"b": {3: "cat", 5: "ape"}}
    assert dataset.seen == {"cat", "dog"}
    (youtube / "train" / "meta.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"no meta\.json of YouTube-VOS"):
        YouTubeVOSDataset(youtube, "valid")
    (youtube / "train" / "meta.json").unlink()
    assert YouTubeVOSDataset(youtube, "valid").seen == frozenset()


def test_lists_and_names(youtube: Path) -> None:
    (youtube / "valid" / "few.txt").write_text("b\n")
    assert YouTubeVOSDataset(youtube, "valid", "few").videos == ("b",)
    with pytest.raises(DatasetError, match="nearest: few"):
        YouTubeVOSDataset(youtube, "valid", "fewer")
    with pytest.raises(DatasetError, match="No folder"):
        YouTubeVOSDataset(youtube, "test")


def test_without_splits_all_given_first(youtube: Path) -> None:
    """The Long Videos set: sparse truth, objects of the first mask."""
    dataset = YouTubeVOSDataset(youtube / "valid", "all", join="first")
    assert dataset.video(0).ids == (3,)
    assert dataset.annotated == [[0, 2]]
