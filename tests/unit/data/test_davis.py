import pickle
from pathlib import Path

import pytest
import torch

from vosfw.data.davis import DavisDataset
from vosfw.data.io import write_mask
from vosfw.data.sampler import ClipRequest
from vosfw.errors import ConfigError, DatasetError


def test_reads_a_list(davis: Path) -> None:
    dataset = DavisDataset(davis, "val")
    assert dataset.videos == ("bird", "single")
    assert dataset.lengths == [4, 4]
    assert dataset.annotated == [[0, 1, 2, 3], [0]]
    video = pickle.loads(pickle.dumps(dataset.video(0)))
    assert (video.name, video.size, video.ids) == ("bird", (24, 32), (1, 2, 3))
    assert video.given == {0: (0, 1, 2)}
    assert video.frame(1).shape == (3, 24, 32)
    assert video.truth(3).unique().tolist() == [0, 1, 2, 3]
    assert dataset.video(1).truth(3) is None


@pytest.mark.parametrize(
    ("split", "videos"),
    [
        ("train", ("cat", "dog")),
        ("all", ("bird", "cat", "dog", "single")),
        ("single", ("single",)),
        (["dog", "bird"], ("dog", "bird")),
    ],
)
def test_splits(davis: Path, split: str | list[str], videos: tuple[str, ...]) -> None:
    assert DavisDataset(davis, split).videos == videos


def test_all_without_lists_is_every_folder(davis: Path) -> None:
    for path in davis.glob("ImageSets/*/*.txt"):
        path.unlink()
    assert DavisDataset(davis, "all").videos == ("bird", "cat", "dog", "single")


def test_lists_of_the_2016_release_hold_paths(davis: Path) -> None:
    (davis / "ImageSets" / "2016").rename(davis / "ImageSets" / "480p")
    lines = [f"/JPEGImages/480p/dog/{t:05d}.jpg /Annotations/480p/dog/{t:05d}.png" for t in range(4)]
    (davis / "ImageSets" / "480p" / "val.txt").write_text("\n".join(lines))
    assert DavisDataset(davis, "val", year=2016).videos == ("dog",)


def test_2016_merges_objects(davis: Path) -> None:
    video = DavisDataset(davis, "bird", year=2016).video(0)
    assert video.ids == (1,)
    several = DavisDataset(davis, "bird").video(0)
    assert torch.equal(video.truth(2) > 0, several.truth(2) > 0)
    assert DavisDataset(davis, "bird", year=2016, single_object=False).video(0).ids == (1, 2, 3)
    assert DavisDataset(davis, "bird", single_object=True).video(0).ids == (1,)


def test_full_resolution_is_another_folder(davis: Path) -> None:
    for kind in ("JPEGImages", "Annotations"):
        (davis / kind / "480p").rename(davis / kind / "Full-Resolution")
    assert len(DavisDataset(davis, "val", resolution="Full-Resolution")) == 2
    with pytest.raises(DatasetError, match=r"No folder .*JPEGImages/480p.*Set data\.root"):
        DavisDataset(davis, "val")


def test_clip(davis: Path) -> None:
    sample = DavisDataset(davis, "train")[ClipRequest(0, (2, 3), 5)]
    assert sample.frames.shape == (2, 3, 24, 32)
    assert sample.labels.unique().tolist() == [0, 1, 2]
    assert sample.meta == ("cat", ("00002", "00003"), (1, 2), (24, 32), 5)


def test_unknown_names_list_the_nearest(davis: Path) -> None:
    with pytest.raises(DatasetError, match=r"'vall'.*nearest: val"):
        DavisDataset(davis, "vall")
    with pytest.raises(DatasetError, match=r"No video 'brid'.*nearest: bird"):
        DavisDataset(davis, ["cat", "brid"])
    (davis / "ImageSets" / "2017" / "val.txt").write_text("bird\ngoose\n")
    with pytest.raises(DatasetError, match="'goose'"):
        DavisDataset(davis, "val")


def test_empty_split(davis: Path) -> None:
    (davis / "ImageSets" / "2017" / "val.txt").write_text("\n")
    with pytest.raises(DatasetError, match="names no video"):
        DavisDataset(davis, "val")


def test_root_that_is_not_set() -> None:
    with pytest.raises(ConfigError, match=r"Set data\.root=DIR"):
        DavisDataset(None)


def test_missing_frame_of_a_mask(davis: Path) -> None:
    (davis / "JPEGImages" / "480p" / "cat" / "00003.jpg").unlink()
    with pytest.raises(DatasetError, match=r"No frame '00003' for the mask .*cat/00003\.png"):
        DavisDataset(davis, "train")
    assert len(DavisDataset(davis, "val")) == 2


def test_gap_between_frames(davis: Path) -> None:
    (davis / "JPEGImages" / "480p" / "single" / "00002.jpg").unlink()
    with pytest.raises(DatasetError, match=r"No frame '00002' in .*single.*no gaps"):
        DavisDataset(davis, "val")


def test_sequence_without_frames(davis: Path) -> None:
    for path in (davis / "JPEGImages" / "480p" / "single").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"No frames in .*single"):
        DavisDataset(davis, "val")


def test_missing_first_mask(davis: Path) -> None:
    annotations = davis / "Annotations" / "480p" / "bird"
    (annotations / "00000.png").unlink()
    with pytest.raises(DatasetError, match=r"No mask for frame '00000' of 'bird'.*Add 00000\.png"):
        DavisDataset(davis, "val")
    for path in annotations.iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"No masks in .*bird"):
        DavisDataset(davis, "val")


def test_empty_first_mask(davis: Path) -> None:
    write_mask(davis / "Annotations" / "480p" / "bird" / "00000.png", torch.zeros(24, 32, dtype=torch.uint8))
    with pytest.raises(DatasetError, match="No object in the given mask of 'bird'"):
        _ = DavisDataset(davis, "val").video(0).given
