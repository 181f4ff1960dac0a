import zipfile

import numpy as np
import pytest
import torch
from modules import MemoryVideo, Recorder, feed, make_module, make_trainer
from PIL import Image

from callbacks import PredictionWriter
from vosfw.data.io import PALETTE
from vosfw.errors import OutputError


def test_masks_are_palette_pictures_of_the_users_ids(tmp_path):
    video, recorder = MemoryVideo(), Recorder()
    make_trainer(PredictionWriter(tmp_path / "masks"), recorder).test(make_module(), feed(video), verbose=False)
    files = sorted((tmp_path / "masks" / "squares").iterdir())
    assert [file.name for file in files] == [f"{t:05d}.png" for t in range(6)]
    for file, result in zip(files, recorder.results, strict=True):
        with Image.open(file) as picture:
            assert picture.mode == "P" and picture.size == (40, 32)
            assert picture.getpalette() == PALETTE.flatten().tolist()
            assert np.array_equal(np.array(picture), result.labels.numpy() * 3)
    assert np.array_equal(np.array(Image.open(files[0])), video.id_map(0).numpy())
    assert not (tmp_path / "masks.zip").exists()


def test_the_zip_holds_the_same_files(tmp_path):
    writer = PredictionWriter(tmp_path / "v1.0", zip=True, zip_folder="Annotations")
    videos = MemoryVideo("a", frames=2), MemoryVideo("b", frames=3, masks=(0,))
    make_trainer(writer).test(make_module(), feed(*videos), verbose=False)
    with zipfile.ZipFile(tmp_path / "v1.0.zip") as archive:
        names = archive.namelist()
        assert names == [f"Annotations/a/{t:05d}.png" for t in range(2)] + [
            f"Annotations/b/{t:05d}.png" for t in range(3)
        ]
        assert archive.read(names[1]) == (tmp_path / "v1.0" / "a" / "00001.png").read_bytes()


def test_prediction_writes_and_validation_does_not(tmp_path):
    for name, stage in (("validate", "validate"), ("predict", "predict")):
        writer = PredictionWriter(tmp_path / name)
        getattr(make_trainer(writer), stage)(make_module(), feed(MemoryVideo(frames=2)))
    assert not (tmp_path / "validate").exists()
    assert len(list((tmp_path / "predict").glob("squares/*.png"))) == 2


def test_entropy_is_written_beside_the_masks(tmp_path):
    video, recorder = MemoryVideo(), Recorder()
    make_trainer(PredictionWriter(tmp_path / "masks", entropy=True), recorder).test(
        make_module(), feed(video), verbose=False
    )
    files = sorted((tmp_path / "entropy" / "squares").iterdir())
    assert [file.name for file in files] == [f"{t:05d}.png" for t in range(6)]
    for t, (file, result) in enumerate(zip(files, recorder.results, strict=True)):
        known = [0, *(slot for slot, start in enumerate(video.introduced.values(), 1) if start <= t)]
        probs = result.probs[known].double().clamp_min(1e-12)
        share = -(probs * probs.log()).sum(0) / np.log(max(len(known), 2))
        with Image.open(file) as picture:
            assert picture.mode == "L" and picture.size == (40, 32)
            assert np.abs(np.array(picture) - 255 * share.numpy()).max() <= 1
    assert not np.array(Image.open(files[0])).any(), "what is given is certain"
    assert np.array(Image.open(files[3])).any()


def test_an_unwritable_folder_is_refused_before_work_starts(tmp_path):
    (tmp_path / "file").write_text("in the way")
    recorder = Recorder()
    with pytest.raises(OutputError, match="cannot write masks to"):
        trainer = make_trainer(PredictionWriter(tmp_path / "file" / "masks"), recorder)
        trainer.test(make_module(), feed(MemoryVideo()), verbose=False)
    assert recorder.results == []


def test_what_was_written_before_an_error_stays_valid(tmp_path):
    with pytest.raises(Exception, match="frame 3 is damaged"):
        videos = feed(MemoryVideo("good", frames=2), MemoryVideo("bad", broken=3))
        make_trainer(PredictionWriter(tmp_path)).test(make_module(), videos, verbose=False)
    written = sorted(tmp_path.rglob("*"))
    assert sum(path.is_file() for path in written) == 2 + 3
    for path in written:
        if path.is_file():
            assert path.suffix == ".png" and torch.from_numpy(np.array(Image.open(path))).shape == (32, 40)
