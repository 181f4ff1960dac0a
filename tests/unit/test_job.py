"""StoppedError and resumed segmentation, and propagation in both directions."""

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from doubles import ClipDouble, KeyDouble
from PIL import Image
from scenes import ToyVideo

import vosfw.job
from vosfw.data.io import read_mask, write_mask, write_video
from vosfw.errors import ConfigError, OutputError
from vosfw.predictor import Predictor
from vosfw.segment import segment_video
from vosfw.two_way import TwoWay


@pytest.fixture
def video():
    return ToyVideo(frames=12, objects=2, size=(48, 64))


@pytest.fixture
def frames(video, tmp_path):
    (tmp_path / "frames").mkdir()
    for t in range(12):
        Image.fromarray(video.frame(t).permute(1, 2, 0).numpy()).save(tmp_path / "frames" / f"{t:02d}.png")
    return tmp_path / "frames"


def masks_of(folder):
    return {path.name: read_mask(path) for path in sorted(folder.glob("*.png"))}


def same(one, two):
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("model", [KeyDouble(), ClipDouble()], ids=["per frame", "per clip"])
@pytest.mark.parametrize("stops", [(1,), (5,), (2, 3), (7,)])
def test_resumed_masks_equal_the_uninterrupted_ones(stops, model, both, video, frames, tmp_path, monkeypatch):
    monkeypatch.setattr(vosfw.job, "SAVE_EVERY", 0.0)
    given = {3: video.labels[3].numpy(), 9: video.labels[9].numpy()}
    segment_video(model, frames, given, tmp_path / "whole", device="cpu", both=both)
    for stop in stops:
        left = [stop]

        def fail(path, labels, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise StoppedError
            write_mask(path, labels)

        monkeypatch.setattr("vosfw.segment.write_mask", fail)
        with pytest.raises(StoppedError):
            segment_video(model, frames, given, tmp_path / "out", device="cpu", both=both, resume=True)
        same(
            masks_of(tmp_path / "out"),
            {n: m for n, m in masks_of(tmp_path / "whole").items() if n in masks_of(tmp_path / "out")},
        )
    monkeypatch.setattr("vosfw.segment.write_mask", write_mask)
    seen = []
    monkeypatch.setattr(Predictor, "step", lambda self, frame, step=Predictor.step: seen.append(0) or step(self, frame))
    segment_video(model, frames, given, tmp_path / "out", device="cpu", both=both, resume=True)
    assert len(seen) < (22 if both else 12)
    same(masks_of(tmp_path / "out"), masks_of(tmp_path / "whole"))
    assert not (tmp_path / "out" / ".vosfw").exists()


def test_another_job_is_not_resumed(video, frames, tmp_path, monkeypatch):
    given, model = {0: video.labels[0].numpy()}, KeyDouble()

    def fail(path, labels):
        raise StoppedError

    monkeypatch.setattr("vosfw.segment.write_mask", fail)
    with pytest.raises(StoppedError):
        segment_video(model, frames, given, tmp_path / "out", device="cpu")
    with pytest.raises(ConfigError, match="other masks"):
        segment_video(model, frames, {1: given[0]}, tmp_path / "out", device="cpu", resume=True)
    with pytest.raises(ConfigError, match="other engine"):
        segment_video(model, frames, given, tmp_path / "out", device="cpu", short_side=32, resume=True)
    monkeypatch.setattr("vosfw.segment.write_mask", write_mask)
    with pytest.raises(ConfigError, match="other weights"):
        segment_video(KeyDouble(), frames, given, tmp_path / "out", device="cpu", resume=True)
    assert segment_video(model, frames, {1: given[0]}, tmp_path / "out", device="cpu").skipped == 1


def scores_of(model, video, order, given):
    """Probabilities and ids by frame, from a predictor that sees the frames in some order."""
    predictor, found = Predictor(model, "cpu"), {}
    for t in order:
        if t in given:
            predictor.add_object(given[t])
        for result in predictor.step(video.frame(t)):
            found[order[result.index]] = result
    found |= {order[result.index]: result for result in predictor.flush()}
    return found


def test_both_directions(video, frames, tmp_path):
    """Before, between and behind the given frames, worked out by hand."""
    model, given = KeyDouble(), {4: video.labels[4].numpy(), 10: video.labels[10].numpy()}
    result = segment_video(model, frames, given, tmp_path / "out", device="cpu", both=True)
    assert (result.frames, result.skipped) == (12, 0)
    found = masks_of(tmp_path / "out")
    forward, backward = scores_of(model, video, range(12), given), scores_of(model, video, range(10, -1, -1), given)
    for t in (0, 1, 3):
        assert np.array_equal(found[f"{t:02d}.png"].numpy(), backward[t].labels)
    for t in (4, 10, 11):
        assert np.array_equal(found[f"{t:02d}.png"].numpy(), forward[t].labels)
    for t in (5, 7, 9):
        share = (10 - t) / 6
        mixed = share * forward[t].scores + (1 - share) * backward[t].scores
        differ = found[f"{t:02d}.png"] != mixed.max(0).indices
        top = mixed.topk(2, 0).values
        assert (top[0] - top[1])[differ].le(2 / 255).all()


def test_both_directions_of_a_video_file(video, frames, tmp_path):
    with write_video(tmp_path / "in.mp4", 10, (48, 64)) as writer:
        for t in range(12):
            writer.add(video.frame(t))
    result = segment_video(
        KeyDouble(), tmp_path / "in.mp4", {11: video.labels[11].numpy()}, tmp_path / "out", device="cpu", both=True
    )
    assert (result.frames, len(masks_of(tmp_path / "out"))) == (12, 12)
    assert masks_of(tmp_path / "out")["00000.png"].max() > 0


def test_an_object_that_one_run_knows_is_its_business(tmp_path):
    """By hand: object 5 joins at the later mask, so the forward run has never heard of it."""
    two_way = TwoWay(tmp_path, [0, 4])
    known = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
    two_way.keep(1, (2, 5), torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]]))
    assert two_way.merge(1, (2,), known).tolist() == [[2, 5]]
    assert two_way.needs_both(1) and not two_way.needs_both(0) and not two_way.needs_both(5)


def test_the_nearer_mask_counts_more(tmp_path):
    two_way = TwoWay(tmp_path, [0, 10])
    one, two = torch.tensor([[[0.0]], [[0.8]], [[0.2]]]), torch.tensor([[[0.0]], [[0.2]], [[0.8]]])
    for t, wanted in ((2, 1), (8, 2)):
        two_way.keep(t, (1, 2), two)
        assert two_way.merge(t, (1, 2), one).tolist() == [[wanted]]


def test_a_full_disk_leaves_whole_masks_and_can_be_resumed(video, frames, tmp_path, monkeypatch):
    given, model = {0: video.labels[0].numpy()}, KeyDouble()
    segment_video(model, frames, given, tmp_path / "whole", device="cpu")
    room = [5]

    def save(self, *arguments, save=Image.Image.save, **options):
        room[0] -= 1
        if room[0] < 0:
            Path(arguments[0]).write_bytes(b"half a picture")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, *arguments, **options)

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OutputError, match="No space left"):
        segment_video(model, frames, given, tmp_path / "out", device="cpu")
    assert len(masks_of(tmp_path / "out")) == 5
    room[0] = 100
    segment_video(model, frames, given, tmp_path / "out", device="cpu", resume=True)
    same(masks_of(tmp_path / "out"), masks_of(tmp_path / "whole"))


def test_a_finished_direction_is_not_run_again(video, frames, tmp_path, monkeypatch):
    monkeypatch.setattr(vosfw.job, "SAVE_EVERY", 1e9)
    given, model, seen = {3: video.labels[3].numpy(), 9: video.labels[9].numpy()}, KeyDouble(), []

    def fail(path, labels):
        if len(masks_of(tmp_path / "out")) == 5:
            raise StoppedError
        write_mask(path, labels)

    monkeypatch.setattr("vosfw.segment.write_mask", fail)
    with pytest.raises(StoppedError):
        segment_video(model, frames, given, tmp_path / "out", device="cpu", both=True)
    monkeypatch.setattr("vosfw.segment.write_mask", write_mask)
    monkeypatch.setattr(Predictor, "step", lambda self, frame, step=Predictor.step: seen.append(0) or step(self, frame))
    result = segment_video(model, frames, given, tmp_path / "out", device="cpu", both=True, resume=True)
    assert len(seen) == 12  # forward only
    assert result.ids == (1, 2)


def test_whoever_watches_sees_every_prediction(video, frames, tmp_path):
    seen = {}
    segment_video(
        KeyDouble(),
        frames,
        {0: video.labels[0].numpy()},
        tmp_path / "out",
        device="cpu",
        watch=lambda name, prediction: seen.update({name: prediction.confidence}),
    )
    assert list(seen) == [f"{t:02d}" for t in range(12)]
    assert seen["00"] == {1: 1.0, 2: 1.0} and all(0 <= value <= 1 for value in seen["11"].values())
