import numpy as np
import pytest
from modules import MemoryVideo, feed, make_module, make_trainer
from pytorch_lightning.loggers import WandbLogger

from callbacks import VideoLogger


class FakeWandb(WandbLogger):
    """Takes pictures, starts no run."""

    def __init__(self):
        self.calls = []
        self._logged_model_time, self._checkpoint_callbacks, self._experiment = {}, {}, None

    name = version = save_dir = None

    def log_image(self, key, images, step=None, **kwargs):
        self.calls.append((key, images, step, kwargs))

    def log_metrics(self, metrics, step=None):
        pass

    def log_hyperparams(self, params):
        pass

    def finalize(self, status):
        pass


def validate(callback, *videos, logger=None):
    logger = logger or FakeWandb()
    make_trainer(callback, logger=logger).validate(make_module(), feed(*videos), verbose=False)
    return logger.calls if isinstance(logger, FakeWandb) else None


def test_the_same_frames_of_the_first_videos_are_shown_each_time():
    callback = VideoLogger(videos=2, frames=2)
    videos = MemoryVideo("a", frames=5), MemoryVideo("b", frames=5, masks=(0,)), MemoryVideo("c", frames=5)
    calls = validate(callback, *videos) + validate(callback, *videos)
    assert [call[0] for call in calls] == ["val/overlay"] * 2
    for _, images, _, extra in calls:
        assert extra["caption"] == ["a 00002", "a 00004", "b 00002", "b 00004"]
        assert np.array_equal(images[0], videos[0].images[2].permute(1, 2, 0).numpy())
        assert [set(masks) for masks in extra["masks"]] == [{"prediction", "truth"}] * 2 + [{"prediction"}] * 2
        truth = extra["masks"][0]["truth"]
        assert np.array_equal(truth["mask_data"], videos[0].labels[2].numpy())
        assert truth["class_labels"] == {0: "background", 1: "object 3", 2: "object 6", 255: "unlabelled"}


def test_large_frames_are_thinned_out():
    (call,) = validate(VideoLogger(videos=1, frames=1, max_side=20), MemoryVideo())
    assert call[1][0].shape == (16, 20, 3)
    assert call[3]["masks"][0]["prediction"]["mask_data"].shape == (16, 20)


@pytest.mark.parametrize("logger", [False])
def test_without_wandb_it_does_nothing(logger):
    callback = VideoLogger()
    make_trainer(callback, logger=logger).validate(make_module(), feed(MemoryVideo()), verbose=False)
    assert callback._images == []
