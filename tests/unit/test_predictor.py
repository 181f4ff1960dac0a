import numpy as np
import pytest
import torch
from doubles import ClipDouble, KeyDouble
from scenes import ToyVideo

from vosfw.engine.engine import Engine
from vosfw.errors import DatasetError, UnsupportedError
from vosfw.predictor import Predictor


@pytest.fixture
def video():
    return ToyVideo(frames=8, objects=2)


def frame(video, t):
    return video.images[t].permute(1, 2, 0).numpy()


def test_ids_of_the_user_come_back(video):
    predictor = Predictor(KeyDouble(), device="cpu")
    predictor.add_object(video.labels[0].numpy() == 1, id=7)
    predictor.add_object(video.labels[0].numpy() == 2, id=300)
    (first,) = predictor.step(frame(video, 0))
    assert (first.index, first.ids, set(np.unique(first.labels))) == (0, (7, 300), {0, 7, 300})
    (second,) = predictor.step(frame(video, 1))
    assert set(second.probs) == {7, 300}
    assert second.probs[7].shape == video.size
    assert predictor.ids == (7, 300)


def test_clips_come_out_when_full(video):
    predictor = Predictor(ClipDouble(), device="cpu")
    predictor.add_object(video.labels[0].numpy())
    counts = [len(predictor.step(frame(video, t))) for t in range(6)]
    assert counts == [1, 0, 0, 3, 0, 0]
    assert [p.index for p in predictor.flush()] == [4, 5]


def test_nothing_before_the_first_mask_and_reset(video):
    predictor = Predictor(KeyDouble(), device="cpu")
    assert predictor.step(frame(video, 0)) == []
    predictor.add_object(video.labels[1].numpy())
    assert [p.index for p in predictor.step(frame(video, 1))] == [1]
    predictor.reset()
    assert predictor.ids == ()
    assert predictor.step(frame(video, 0)) == []


def test_frames_as_tensors_and_pictures(video):
    from PIL import Image

    kinds = [frame(video, 0), video.images[0], Image.fromarray(frame(video, 0))]
    results = []
    for kind in kinds:
        predictor = Predictor(KeyDouble(), device="cpu")
        predictor.add_object(video.labels[0].numpy())
        results.append(predictor.step(kind)[0].labels)
    assert all(np.array_equal(results[0], other) for other in results)


def test_a_mask_for_a_known_object_corrects_it(video):
    torch.manual_seed(0)
    predictor = Predictor(KeyDouble(), device="cpu", engine=Engine())
    predictor.add_object(video.labels[0].numpy())
    predictor.step(frame(video, 0))
    moved = np.zeros(video.size, bool)
    moved[20:30, 10:20] = True
    predictor.add_object(moved, id=1)
    (result,) = predictor.step(frame(video, 1))
    assert (result.labels[moved] == 1).all()
    assert predictor.ids == (1, 2)


@pytest.mark.parametrize(
    ("mask", "id", "said"),
    [
        (np.zeros((32, 40), np.uint8), None, "no object"),
        (np.zeros((32, 40), bool), 3, "no object"),
        (np.ones((32, 40, 3), np.uint8), None, "height x width"),
        (np.ones((32, 40), np.float32), None, "whole numbers"),
        (np.ones((32, 40), bool), 0, "from 1"),
    ],
)
def test_bad_masks_are_refused(video, mask, id, said):
    with pytest.raises(DatasetError, match=said):
        Predictor(KeyDouble(), device="cpu").add_object(mask, id=id)


def test_sizes_must_agree(video):
    predictor = Predictor(KeyDouble(), device="cpu")
    predictor.add_object(np.ones((32, 41), bool), id=1)
    with pytest.raises(DatasetError, match="32x41, its frame 32x40"):
        predictor.step(frame(video, 0))
    predictor = Predictor(KeyDouble(), device="cpu")
    predictor.add_object(video.labels[0].numpy())
    predictor.step(frame(video, 0))
    with pytest.raises(DatasetError, match="frame 1 is 30x40"):
        predictor.step(frame(video, 1)[:30])
    with pytest.raises(DatasetError, match="the video's frames are 32x40"):
        predictor.add_object(np.ones((5, 5), bool), id=4)
    with pytest.raises(DatasetError, match="uint8"):
        predictor.step(frame(video, 1).astype(np.float32))


def test_removed_ids_stay_removed(video):
    predictor = Predictor(KeyDouble(), device="cpu")
    predictor.add_object(video.labels[0].numpy())
    predictor.step(frame(video, 0))
    predictor.remove_object(1)
    assert predictor.ids == (2,)
    with pytest.raises(DatasetError, match=r"the objects are \[2\]"):
        predictor.remove_object(1)
    with pytest.raises(UnsupportedError, match="another id"):
        predictor.add_object(video.labels[0].numpy() == 1, id=1)


def test_short_side_is_an_engine_option(video):
    predictor = Predictor(KeyDouble(), device="cpu", engine=Engine(merge="overwrite"), short_side=16)
    assert (predictor.engine.short_side, predictor.engine.merge) == (16, "overwrite")
    predictor.add_object(video.labels[0].numpy())
    predictor.step(frame(video, 0))
    assert predictor.step(frame(video, 1))[0].labels.shape == video.size
