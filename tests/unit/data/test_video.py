import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

from vosfw.data.file_video import FileVideo
from vosfw.data.io import write_mask
from vosfw.data.video import slot_labels
from vosfw.errors import DatasetError

SIZE = (8, 12)


@pytest.fixture
def frames(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{t:05d}.jpg" for t in range(4)]
    for t, path in enumerate(paths):
        Image.new("RGB", SIZE[::-1], (10 * t, 0, 0)).save(path)
    return paths


def mask(folder: Path, name: str, rows: dict[int, int], size: tuple[int, int] = SIZE) -> Path:
    """A mask whose rows hold the given ids."""
    labels = torch.zeros(size, dtype=torch.uint8)
    for row, id_ in rows.items():
        labels[row] = id_
    write_mask(folder / f"{name}.png", labels)
    return folder / f"{name}.png"


def test_objects_of_the_first_mask_are_the_slots(frames: list[Path], tmp_path: Path) -> None:
    masks = {0: mask(tmp_path, "a", {1: 9, 3: 4}), 2: mask(tmp_path, "b", {1: 4, 2: 7, 4: 255})}
    video = FileVideo("clip", frames, masks)
    assert (video.name, len(video), video.size, video.frames[3]) == ("clip", 4, SIZE, "00003")
    assert video.ids == (4, 9)
    assert video.given == {0: (0, 1)}
    assert video.wanted == (True,) * 4
    assert video.annotated == (0, 2)
    assert video.truth(0)[:, 0].tolist() == [0, 2, 0, 1, 0, 0, 0, 0]
    assert video.truth(1) is None
    assert video.truth(2)[:, 0].tolist() == [0, 1, 0, 0, 255, 0, 0, 0]
    assert torch.equal(video.given_mask(0), video.truth(0))
    with pytest.raises(DatasetError, match="No mask is given in frame 2"):
        video.given_mask(2)


def test_objects_may_join(frames: list[Path], tmp_path: Path) -> None:
    masks = {1: mask(tmp_path, "a", {1: 9}), 2: mask(tmp_path, "b", {1: 9, 2: 4, 3: 6}), 3: mask(tmp_path, "c", {2: 4})}
    video = FileVideo("clip", frames, masks, join="any")
    assert video.ids == (9, 4, 6)
    assert video.given == {1: (0,), 2: (1, 2)}
    assert video.given_mask(2)[:4, 0].tolist() == [0, 0, 2, 3]
    assert video.truth(2)[:4, 0].tolist() == [0, 1, 2, 3]


def test_truth_is_silent_about_objects_to_come(frames: list[Path], tmp_path: Path) -> None:
    masks = {t: mask(tmp_path, str(t), {1: 1, 2: 2}) for t in (0, 1)}
    video = FileVideo("clip", frames, masks, join="any")
    video.introduced = {1: 0, 2: 1}
    assert video.truth(0).unique().tolist() == [0, 1]
    assert video.truth(1).unique().tolist() == [0, 1, 2]


def test_binary_reads_all_objects_as_one(frames: list[Path], tmp_path: Path) -> None:
    video = FileVideo("clip", frames, {0: mask(tmp_path, "a", {1: 9, 3: 4, 5: 255})}, binary=True)
    assert video.ids == (1,)
    assert video.truth(0)[:, 0].tolist() == [0, 1, 0, 1, 0, 1, 0, 0]


@pytest.mark.parametrize("rows", [{}, {2: 255}])
def test_empty_first_mask(frames: list[Path], tmp_path: Path, rows: dict[int, int]) -> None:
    masks = {0: mask(tmp_path, "a", rows), 1: mask(tmp_path, "b", {1: 1})}
    with pytest.raises(DatasetError, match=r"No object in the given mask of 'clip' \(frame '00000'\).*Draw at least"):
        _ = FileVideo("clip", frames, masks).ids
    assert FileVideo("clip", frames, masks, join="any").given == {1: (0,)}
    with pytest.raises(DatasetError, match="No object in the given mask"):
        _ = FileVideo("clip", frames, {0: masks[0]}, join="any").ids


def test_as_many_objects_as_a_label_map_holds(frames: list[Path], tmp_path: Path) -> None:
    labels = torch.arange(256, dtype=torch.uint8).reshape(8, 32)
    Image.new("RGB", (32, 8)).save(tmp_path / "wide.png")
    write_mask(tmp_path / "all.png", labels)
    video = FileVideo("clip", [tmp_path / "wide.png"], {0: tmp_path / "all.png"})
    assert len(video.ids) == 254
    assert torch.equal(video.truth(0), labels)


def test_mask_of_another_size(frames: list[Path], tmp_path: Path) -> None:
    video = FileVideo("clip", frames, {0: mask(tmp_path, "a", {1: 1}, (8, 11))})
    with pytest.raises(DatasetError, match=r"a\.png' is 8x11 .* its frame 8x12"):
        video.truth(0)


def test_frame_of_another_size(frames: list[Path], tmp_path: Path) -> None:
    Image.new("RGB", (6, 8)).save(frames[2])
    video = FileVideo("clip", frames, {0: mask(tmp_path, "a", {1: 1})})
    with pytest.raises(DatasetError, match=r"Frame '00002' of 'clip' is \(8, 6\), the first one \(8, 12\)"):
        video.frame(2)


def test_missing_frame_and_mask(frames: list[Path], tmp_path: Path) -> None:
    video = FileVideo("clip", frames, {0: mask(tmp_path, "a", {1: 1})})
    frames[1].unlink()
    with pytest.raises(DatasetError, match=r"No frame at .*00001\.jpg"):
        video.frame(1)
    with pytest.raises(DatasetError, match="Frame '00003' of 'clip' has no mask"):
        video.id_map(3)


def test_video_with_no_frames() -> None:
    with pytest.raises(DatasetError, match="'clip' has no frames"):
        FileVideo("clip", [], {})


def test_pickles_without_pixels(frames: list[Path], tmp_path: Path) -> None:
    video = FileVideo("clip", frames, {0: mask(tmp_path, "a", {1: 9})})
    video.frame(0), video.truth(0)
    content = pickle.dumps(video)
    assert len(content) < 2000
    assert torch.equal(pickle.loads(content).frame(2), video.frame(2))


def test_slot_labels_leave_out_what_has_no_slot() -> None:
    ids = torch.tensor([[0, 3, 7, 255]], dtype=torch.uint8)
    assert slot_labels(ids, [7, None, 3]).tolist() == [[0, 3, 1, 255]]
    assert slot_labels(ids, []).tolist() == [[0, 0, 0, 255]]
