import pickle
import wave
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch

from vosfw.data import video_file
from vosfw.data.video_file import VideoFile, write_video
from vosfw.errors import DatasetError, OutputError

COUNT = 20


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Flat frames whose grey value is ten times their number."""
    with write_video(tmp_path / "clip.mp4", 12.5, (33, 47)) as writer:
        for t in range(COUNT):
            writer.add(torch.full((3, 33, 47), 10 * t, dtype=torch.uint8))
    return tmp_path / "clip.mp4"


def shade(frame: torch.Tensor) -> int:
    return round(frame.float().mean().item() / 10)


def test_round_trip_pads_odd_sizes(clip: Path) -> None:
    video = VideoFile(clip)
    assert len(video) == COUNT
    assert video.size == (34, 48)
    assert video.fps == pytest.approx(12.5)
    assert [shade(video[t]) for t in range(COUNT)] == list(range(COUNT))


def test_any_order_of_access(clip: Path) -> None:
    video = VideoFile(clip)
    for t in (0, 0, 7, 6, 19, 19, 2, 18):
        assert shade(video[t]) == t


def test_reader_ahead_and_viewer_behind_decode_once(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video, decoded = VideoFile(clip), list[int]()
    plain = video_file._to_tensor

    def counted(frame: object) -> torch.Tensor:
        decoded.append(1)
        return plain(frame)

    monkeypatch.setattr(video_file, "_to_tensor", counted)
    for t in range(5, COUNT):
        assert shade(video[t]) == t
        assert shade(video[t - 5]) == t - 5
    assert len(decoded) <= COUNT


def test_frames_kept_are_bounded(clip: Path) -> None:
    video = VideoFile(clip)
    for t in range(COUNT):
        video[t]
    assert len(video._recent) <= video_file.RECENT
    video.close()
    assert not video._recent


def test_copies_and_pickles_read_for_themselves(clip: Path) -> None:
    video = VideoFile(clip)
    video[3]
    for other in (copy(video), pickle.loads(pickle.dumps(video))):
        assert (len(other), other.size) == (COUNT, video.size)
        assert shade(other[1]) == 1
    assert shade(video[4]) == 4


def test_index_outside(clip: Path) -> None:
    for index in (-1, COUNT):
        with pytest.raises(IndexError, match=f"{COUNT} frames"):
            VideoFile(clip)[index]


@pytest.mark.parametrize(("rotation", "turns"), [(0, 0), (90, 1), (-90, 3), (180, 2)])
def test_rotation_is_applied(rotation: int, turns: int) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    frame = SimpleNamespace(rotation=rotation, to_ndarray=lambda format: pixels)
    assert video_file._to_tensor(frame).permute(1, 2, 0).tolist() == np.rot90(pixels, turns).tolist()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"No video at .*none\.mp4"):
        VideoFile(tmp_path / "none.mp4")


def test_file_that_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DatasetError, match=r"text\.mp4' has no frames that"):
        VideoFile(tmp_path / "text.mp4")


def test_sound_without_pictures(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))
    with pytest.raises(DatasetError, match="no video stream, hence no frames"):
        VideoFile(tmp_path / "sound.wav")


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mp4"])
def test_video_with_no_frames(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.start_encoding()
    with pytest.raises(DatasetError, match=rf"empty\.{suffix}' has no .*frames"):
        VideoFile(path)


def test_video_that_ends_early(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video, whole = VideoFile(clip), VideoFile._decode

    def cut(self: VideoFile) -> Iterator[object]:
        frames = whole(self)
        yield from (next(frames) for _ in range(3))

    monkeypatch.setattr(VideoFile, "_decode", cut)
    assert shade(video[2]) == 2
    with pytest.raises(DatasetError, match=f"ends after 3 frames, but its header promises {COUNT}"):
        video[3]


def test_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), write_video(tmp_path / "out.mp4", 10, (32, 32)) as writer:
        writer.add(torch.zeros(3, 32, 32, dtype=torch.uint8))
        raise KeyError("stopped")
    assert list(tmp_path.iterdir()) == []


def test_unwritable_video(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "out.mp4", tmp_path / "out.unknown"):
        with pytest.raises(OutputError, match="Cannot write"), write_video(path, 10, (32, 32)):
            pass


def test_frame_of_another_size(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"\(16, 32\).*\(32, 32\)"),
        write_video(tmp_path / "out.mp4", 10, (32, 32)) as writer,
    ):
        writer.add(torch.zeros(3, 16, 32, dtype=torch.uint8))
