import json
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import boxes, picture, save_frame
from PIL import Image

from vosfw.data.dataset import ClipRequest
from vosfw.data.static_images import StaticImageDataset, rasterised
from vosfw.data.warp import Warp, draw_grids, warped
from vosfw.errors import ConfigError, DatasetError

STILL = {"rotation": 0, "shear": 0, "scale": (1, 1), "spline": 0}


def test_without_a_warp_frames_are_the_image(images: Path) -> None:
    sample = StaticImageDataset(images, warp=STILL)[ClipRequest(0, (3, 9, 4), 1)]
    assert sample.frames.shape == (3, 3, 24, 32)
    assert (sample.frames.float() - sample.frames[0].float()).abs().max() <= 1
    assert torch.equal(sample.labels, boxes((1, 2), 0).expand(3, -1, -1))
    assert sample.given.tolist() == [[True, True], [False, False], [False, False]]
    assert sample.meta.ids == (1, 2)


def test_frames_are_warped_with_their_masks(images: Path) -> None:
    dataset = StaticImageDataset(images)
    one, same, other = (dataset[ClipRequest(0, (0, 1, 2), seed)] for seed in (1, 1, 2))
    assert torch.equal(one.frames, same.frames) and not torch.equal(one.frames, other.frames)
    assert not torch.equal(one.labels[0], one.labels[1])
    assert one.labels.max() <= 2


def test_a_turn_moves_picture_and_mask_alike() -> None:
    """A mask that is bright in the picture stays bright under any warp."""
    mask = torch.zeros(1, 40, 64)
    mask[:, 10:26, 20:40] = 1
    grids = draw_grids(np.random.default_rng(0), Warp(shift=0.1, perspective=0.05, spline=1.0), (40, 64), 5)
    assert grids.shape == (5, 40, 64, 2)
    moved = warped(mask, grids)
    centers = [torch.nonzero(frame[0] > 0.5).float().mean(0) for frame in moved]
    assert all(100 < (frame > 0.5).sum() < 700 for frame in moved)
    assert max(float((a - b).abs().max()) for a in centers for b in centers) > 2


def test_turning_keeps_shapes() -> None:
    """In a picture that is not square a square stays a square: its area does not change."""
    mask = torch.zeros(1, 60, 120)
    mask[:, 20:40, 50:70] = 1
    grids = draw_grids(np.random.default_rng(3), Warp(45, 0, (1, 1), spline=0), (60, 120), 4)
    assert warped(mask, grids).sum((1, 2, 3)).tolist() == pytest.approx([400] * 4, rel=0.02)


def test_an_object_of_another_image_is_pasted_in(images: Path) -> None:
    dataset = StaticImageDataset(images, warp=STILL | {"shift": 0.2}, paste=1.0)
    samples = [dataset[ClipRequest(1, (0, 1), seed)] for seed in range(6)]
    assert {sample.meta.ids for sample in samples} >= {(1, 2)}


def test_masks_beside_pictures_are_binary(tmp_path: Path) -> None:
    save_frame(tmp_path / "deep" / "x.jpg", picture(0))
    soft = (boxes((1,), 0).numpy() * 200).astype(np.uint8)
    soft[4, 3] = 90
    Image.fromarray(soft).save(tmp_path / "deep" / "x.png")
    sample = StaticImageDataset(tmp_path, warp=STILL)[ClipRequest(0, (0, 0), 0)]
    assert sample.meta.video == "deep/x"
    assert sample.labels[0, 5, 5] == 1 and sample.labels[0, 4, 3] == 0


def test_coco(tmp_path: Path) -> None:
    save_frame(tmp_path / "1.jpg", picture(0))
    counts = [4, 3, 24 * 32 - 7]
    content = {
        "images": [{"id": 7, "file_name": "1.jpg"}, {"id": 8, "file_name": "2.jpg"}],
        "annotations": [
            {"image_id": 7, "area": 100, "segmentation": [[2, 2, 12, 2, 12, 12, 2, 12]], "iscrowd": 0},
            {"image_id": 7, "area": 3, "segmentation": {"counts": counts, "size": [24, 32]}, "iscrowd": 0},
            {"image_id": 8, "area": 3, "segmentation": [], "iscrowd": 1},
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    dataset = StaticImageDataset(tmp_path, tmp_path / "instances.json", warp=STILL)
    assert dataset.videos == ("1",)
    ids = rasterised(content["annotations"][:2], (24, 32))
    assert ids[7, 7] == 1 and ids[4:7, 0].tolist() == [2, 2, 2] and ids[20, 20] == 0
    (tmp_path / "instances.json").write_text("{}")
    with pytest.raises(DatasetError, match="cannot be read as COCO"):
        StaticImageDataset(tmp_path, tmp_path / "instances.json")


def test_mistakes(images: Path) -> None:
    with pytest.raises(ConfigError, match="paste in"):
        StaticImageDataset(images, paste=2)
    with pytest.raises(ConfigError, match="illegal value"):
        StaticImageDataset(images, warp={"rotation": -1})
    with pytest.raises(DatasetError, match="are for training"):
        StaticImageDataset(images).video(0)
    (images / "masks" / "b.png").unlink()
    with pytest.raises(DatasetError, match="1 of 2 pictures"):
        StaticImageDataset(images)


def test_splits(images: Path) -> None:
    assert (StaticImageDataset(images, split="val").videos, StaticImageDataset(images, split="train").videos) == (
        ("a",),
        ("b",),
    )


def test_as_many_frames_are_given_as_asked_for(images: Path) -> None:
    sample = StaticImageDataset(images)[ClipRequest(0, (0, 1, 2, 3), 4, given=2)]
    assert sample.given[:2].all()
    assert not sample.given[2:].any()
