from pathlib import Path

import pytest
import torch
from PIL import Image

from vosfw.data.folder import FolderDataset
from vosfw.data.io import write_mask, write_video
from vosfw.data.sampler import ClipRequest
from vosfw.errors import ConfigError, DatasetError


def test_pictures_in_the_order_of_their_numbers(folder: Path) -> None:
    dataset = FolderDataset(folder)
    assert dataset.videos == ("run", "walk")
    assert dataset.lengths == [6, 4]
    assert dataset.annotated == [[1], [0, 1, 2, 3]]
    video = dataset.video(1)
    assert video.frames == ("frame_8", "frame_9", "frame_10", "frame_11")
    assert [int(video.frame(t)[0, 0, 0]) for t in range(4)] == [0, 8, 16, 24]
    assert video.ids == (5, 2)
    assert video.given == {0: (0,), 2: (1,)}


def test_video_file_in_place_of_a_frame_folder(folder: Path) -> None:
    dataset = FolderDataset(folder, "run")
    video = dataset.video(0)
    assert video.frames == tuple(f"{t:05d}" for t in range(6))
    assert (video.size, video.ids, video.given) == ((24, 32), (7,), {1: (0,)})
    assert video.frame(5).shape == (3, 24, 32)
    assert torch.equal(dataset.video(0).frame(0), video.frame(0))
    assert dataset[ClipRequest(0, (1, 1), 0)].labels.unique().tolist() == [0, 1]


def test_lists(folder: Path) -> None:
    (folder / "train.txt").write_text("walk\n")
    (folder / "notes.txt").write_text("not a list of videos\n")
    assert FolderDataset(folder, "train").videos == ("walk",)
    assert FolderDataset(folder, "all").videos == ("run", "walk")
    (folder / "split.txt").write_text("# mine\nrun\n")
    assert FolderDataset(folder, "all").videos == ("run",)
    assert FolderDataset(folder, ["walk"]).videos == ("walk",)
    with pytest.raises(DatasetError, match="No video 'not'"):
        FolderDataset(folder, "notes")


def test_missing_parts(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"Set data\.root"):
        FolderDataset(None)
    with pytest.raises(DatasetError, match="holds 'frames'"):
        FolderDataset(folder / "frames")
    (folder / "masks" / "run" / "00001.png").rename(folder / "masks" / "run" / "00009.png")
    with pytest.raises(DatasetError, match=r"No frame '00009' for the mask.*has 6 frames, '00000' to '00005'"):
        FolderDataset(folder)
    (folder / "masks" / "run" / "00009.png").unlink()
    with pytest.raises(DatasetError, match=r"No masks in .*run"):
        FolderDataset(folder)


def test_names_that_clash(folder: Path) -> None:
    Image.new("RGB", (32, 24)).save(folder / "frames" / "walk" / "frame_9.jpg")
    with pytest.raises(DatasetError, match=r"Two frames named 'frame_9'"):
        FolderDataset(folder)
    with write_video(folder / "frames" / "walk.mp4", 10, (24, 32)) as writer:
        writer.add(torch.zeros(3, 24, 32, dtype=torch.uint8))
    with pytest.raises(DatasetError, match=r"Two videos 'walk'"):
        FolderDataset(folder)


def test_mask_of_another_size_than_the_video_file(folder: Path) -> None:
    write_mask(folder / "masks" / "run" / "00001.png", torch.ones(24, 30, dtype=torch.uint8))
    with pytest.raises(DatasetError, match=r"24x30 .* its frame 24x32"):
        _ = FolderDataset(folder, "run").video(0).given
