import numpy as np
import pytest
import torch
from doubles import ClipDouble, KeyDouble
from PIL import Image
from scenes import ToyVideo

import vosfw
from vosfw.data.io import VideoFile, read_mask, write_mask, write_video
from vosfw.engine.engine import Engine
from vosfw.errors import DatasetError, OutputError
from vosfw.segment import Frames, segment_video


@pytest.fixture
def video():
    return ToyVideo(frames=9, objects=3, late={2: 4}, size=(48, 64))


@pytest.fixture
def folder(video, tmp_path):
    """Frames and first masks as files."""
    frames, masks = tmp_path / "frames", tmp_path / "masks"
    frames.mkdir()
    masks.mkdir()
    for t in range(9):
        Image.fromarray(video.frame(t).permute(1, 2, 0).numpy()).save(frames / f"f{t:03d}.png")
    for t in video.given:
        write_mask(masks / f"f{t:03d}.png", video.given_mask(t))
    return frames, masks


def expected(model, video):
    engine = Engine()
    geometry = engine.geometry(video.size, model.grid)
    with torch.no_grad():
        return {s.frame: engine.labels(s, geometry)[0] for s in engine.run(model, video, "cpu")}


@pytest.mark.parametrize("model", [KeyDouble(), ClipDouble()], ids=["per frame", "per clip"])
def test_masks_equal_those_of_evaluation(model, video, folder, tmp_path):
    frames, masks = folder
    result = segment_video(model, frames, masks, tmp_path / "out", overlay=tmp_path / "film.mp4", device="cpu")
    assert (result.frames, result.skipped, result.ids) == (9, 0, (1, 2, 3))
    for t, labels in expected(model, video).items():
        assert torch.equal(read_mask(tmp_path / "out" / f"f{t:03d}.png"), labels), t
    film = VideoFile(tmp_path / "film.mp4")
    assert (len(film), film.size) == (9, (48, 64))


def test_masks_by_name_number_or_array(video, folder, tmp_path):
    frames, masks = folder
    first, late = masks / "f000.png", video.given_mask(4).numpy()
    segment_video(KeyDouble(), frames, {"f000": first, 4: late}, tmp_path / "a", device="cpu")
    segment_video(KeyDouble(), frames, first, tmp_path / "b", device="cpu")
    assert read_mask(tmp_path / "a" / "f005.png").max() <= 3
    assert len(list((tmp_path / "b").glob("*.png"))) == 9


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 1):
        Image.new("RGB", (4, 4)).save(tmp_path / f"f_{number}.png")
    assert Frames(tmp_path).names == ["f_1", "f_9", "f_10"]


def test_an_object_that_is_said_to_be_out_of_view_stays_away(tmp_path):
    toy, frames = ToyVideo(6, objects=2, size=(96, 128)), tmp_path / "frames"
    frames.mkdir()
    for t in range(6):
        Image.fromarray(toy.frame(t).permute(1, 2, 0).numpy()).save(frames / f"{t}.png")
    first, model, sums = {0: toy.labels[0].numpy()}, vosfw.load(), []
    for absent in (None, {3: [2], 0: [9]}):
        out = tmp_path / str(absent is None)
        segment_video(model, frames, first, out, short_side=96, device="cpu", absent=absent)
        sums.append([int((read_mask(out / f"{t}.png") == 2).sum()) for t in range(6)])
    assert min(sums[0]) > 500
    assert sums[1][:3] == sums[0][:3]
    assert sums[1][3] == 0
    assert sums[1][4] < 100


def test_a_video_file_whose_first_mask_comes_late(video, folder, tmp_path):
    with write_video(tmp_path / "in.mp4", 12.0, (48, 64)) as writer:
        for t in range(9):
            writer.add(video.frame(t))
    result = segment_video(
        KeyDouble(),
        tmp_path / "in.mp4",
        {3: folder[1] / "f000.png"},
        tmp_path / "out",
        overlay=tmp_path / "film.mp4",
        device="cpu",
    )
    assert (result.frames, result.skipped) == (6, 3)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"{t:05d}.png" for t in range(3, 9)]
    film = VideoFile(tmp_path / "film.mp4")
    assert (len(film), round(film.fps)) == (9, 12)


def spoil(kind, frames, masks):
    if kind == "missing mask":
        return {0: masks / "no.png"}
    if kind == "unknown frame":
        return {"f999": masks / "f000.png"}
    if kind == "empty mask":
        write_mask(masks / "f000.png", torch.zeros(48, 64, dtype=torch.uint8))
    if kind == "size":
        write_mask(masks / "f000.png", torch.ones(48, 60, dtype=torch.uint8))
    if kind == "photograph":
        noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(masks / "f000.png")
    if kind == "soft edges":
        y = np.linspace(0, 255, 48)[:, None] * np.ones((1, 64))
        Image.fromarray(y.astype(np.uint8)).save(masks / "f000.png")
    if kind == "no masks":
        for path in masks.iterdir():
            path.unlink()
    if kind == "no frames":
        for path in frames.iterdir():
            path.unlink()
    return masks


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing mask", r"no\.png"),
        ("unknown frame", "from 0 .f000. to 8"),
        ("empty mask", "no object"),
        ("size", "48x60"),
        ("photograph", "different colours"),
        ("soft edges", "soft edges"),
        ("no masks", "no masks"),
        ("no frames", "No frames in"),
    ],
)
def test_bad_input_is_refused_before_work(kind, said, folder, tmp_path):
    frames, masks = folder
    with pytest.raises(DatasetError, match=said):
        segment_video(KeyDouble(), frames, spoil(kind, frames, masks), tmp_path / "out", device="cpu")
    assert not list((tmp_path / "out").glob("*.png"))


def test_what_was_written_stays_when_a_frame_is_damaged(folder, tmp_path):
    frames, masks = folder
    data = (frames / "f006.png").read_bytes()
    (frames / "f006.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match=r"f006\.png"):
        segment_video(KeyDouble(), frames, masks, tmp_path / "out", device="cpu")
    written = sorted((tmp_path / "out").glob("*.png"))
    assert 1 <= len(written) <= 6
    for path in written:
        read_mask(path, (48, 64))


def test_an_unwritable_folder(folder, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="out"):
        segment_video(KeyDouble(), *folder, tmp_path / "out", device="cpu")
