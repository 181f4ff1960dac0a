import pytest
import torch
from PIL import Image

from vosfw.config import choose, instantiate
from vosfw.data.davis import DavisDataset
from vosfw.data.export import NOTE, write_perturbed
from vosfw.data.folder import FolderDataset
from vosfw.data.perturbation.base import PerturbedDataset
from vosfw.data.synthetic import SyntheticDataset
from vosfw.data.youtube_vos import YouTubeVOSDataset
from vosfw.errors import ConfigError, OutputError

ABOUT = {"data": "test"}


def kind(name):
    return instantiate(choose("data/perturbation", {"name": name, "severity": 3}))


def write(videos, name, out, **options):
    return list(write_perturbed(videos, kind(name), out, about=ABOUT, **options))


def same(written, expected, truth=True):
    assert written.videos == expected.videos
    for i in range(len(expected)):
        one, two = written.video(i), expected.video(i)
        assert (one.frames, one.ids, one.given, one.wanted, one.groups) == (
            two.frames,
            two.ids,
            two.given,
            two.wanted,
            two.groups,
        )
        assert one.annotated == two.annotated
        assert all(torch.equal(one.frame(t), two.frame(t)) for t in range(len(two)))
        assert all(torch.equal(one.given_mask(t), two.given_mask(t)) for t in two.given)
        assert all(torch.equal(one.truth(t), two.truth(t)) for t in two.annotated if truth or t not in two.given)


@pytest.mark.parametrize("name", ["gaussian_noise", "frame_rate", "mask_dilated"])
def test_davis_reads_back(davis, tmp_path, name):
    out = tmp_path / "out" / name
    assert write(DavisDataset(davis, "val"), name, out, root=davis) == [4, 4]
    same(DavisDataset(out, "val"), PerturbedDataset(DavisDataset(davis, "val"), kind(name)), truth=name[:4] != "mask")
    assert (out / "ImageSets/2017/train.txt").read_text() == (davis / "ImageSets/2017/train.txt").read_text()
    first = "Annotations/480p/bird/00001.png"
    assert (out / first).read_bytes() == (davis / first).read_bytes()


@pytest.mark.parametrize("all_frames", [False, True])
@pytest.mark.parametrize("name", ["fog", "mask_eroded"])
def test_youtube_vos_reads_back(youtube, tmp_path, name, all_frames):
    out = tmp_path / "out"
    clean = YouTubeVOSDataset(youtube, all_frames=all_frames)
    write(clean, name, out, root=youtube)
    same(YouTubeVOSDataset(out, all_frames=all_frames), PerturbedDataset(clean, kind(name)), truth=name == "fog")
    if name == "mask_eroded":
        # The second object joins in a frame of its own; the first one's mask is written but once.
        written = YouTubeVOSDataset(out).video(0)
        assert written.given == {0: (0,), 2: (1,)}


def test_videos_become_folders_of_frames(folder, tmp_path):
    clean = FolderDataset(folder)
    write(clean, "jpeg", tmp_path / "out", root=folder)
    written = FolderDataset(tmp_path / "out")
    assert (tmp_path / "out/frames/run/00005.png").is_file()
    same(written, PerturbedDataset(clean, kind("jpeg")))


def test_rendered_videos_become_a_folder(tmp_path):
    clean = SyntheticDataset("test", 2, 4, (32, 48), (1, 2), 0)
    write(clean, "rain", tmp_path / "out")
    written, expected = FolderDataset(tmp_path / "out"), PerturbedDataset(clean, kind("rain"))
    for i in range(2):
        assert all(torch.equal(written.video(i).frame(t), expected.video(i).frame(t)) for t in range(4))
        assert all(torch.equal(written.video(i).id_map(t), clean.video(i).id_map(t)) for t in range(4))


def test_jpg(davis, tmp_path):
    write(DavisDataset(davis, "val"), "brightness", tmp_path / "out", root=davis, suffix="jpg")
    path = tmp_path / "out/JPEGImages/480p/bird/00000.jpg"
    assert Image.open(path).format == "JPEG"
    frame = DavisDataset(tmp_path / "out", "val").video(0).frame(0)
    expected = kind("brightness").apply(DavisDataset(davis, "val").video(0)).frame(0)
    assert (frame.int() - expected.int()).abs().float().mean() < 6


def test_an_interrupted_call_goes_on(davis, tmp_path):
    videos, out = DavisDataset(davis, "val"), tmp_path / "out"
    part = write_perturbed(videos, kind("fog"), out, root=davis, about=ABOUT)
    assert next(part) == 4
    part.close()
    written = out / "JPEGImages/480p/bird/00002.png"
    before = written.stat().st_mtime_ns
    with pytest.raises(OutputError, match="holds something else"):
        write(videos, "fog", out, root=davis)
    with pytest.raises(OutputError, match="holds something else"):
        list(write_perturbed(videos, kind("fog"), out, root=davis, about={"data": "other"}, resume=True))
    write(videos, "fog", out, root=davis, resume=True)
    assert written.stat().st_mtime_ns == before
    same(DavisDataset(out, "val"), PerturbedDataset(videos, kind("fog")))
    note = (out / NOTE).stat().st_mtime_ns
    assert write(videos, "fog", out, root=davis, resume=True) == [4, 4]
    assert (out / NOTE).stat().st_mtime_ns == note, "a complete set is left alone"


def test_what_cannot_be_written(davis, tmp_path):
    videos = DavisDataset(davis, "val")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "full", tmp_path / "file"):
        with pytest.raises(OutputError, match="holds something else"):
            write(videos, "fog", out, root=davis, resume=True)
    with pytest.raises(ConfigError, match="fit no picture"):
        write(videos, "gaussian_noise_unclipped", tmp_path / "out", root=davis)
    with pytest.raises(ConfigError, match="wanted png or jpg"):
        write(videos, "fog", tmp_path / "out", root=davis, suffix="bmp")
    assert not (tmp_path / "out").exists()


def test_a_written_set_inside_the_root_is_not_copied_into_the_next(davis):
    videos = DavisDataset(davis, "val")
    write(videos, "fog", davis / "perturbed" / "fog", root=davis)
    write(videos, "rain", davis / "perturbed" / "rain", root=davis)
    assert {path.name for path in (davis / "perturbed" / "rain").iterdir()} == {
        "Annotations",
        "ImageSets",
        "JPEGImages",
        NOTE,
    }
