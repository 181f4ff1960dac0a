import time

import pytest
import pytorch_lightning as pl
from modules import MemoryVideo, feed, make_module, make_trainer
from scenes import make_clip
from torch.utils.data import DataLoader

from callbacks import Throughput


class Recorder(pl.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, *arguments):
        names = ("perf/train_fps", "perf/data_wait")
        self.seen.append({name: float(trainer.callback_metrics.get(name, -1)) for name in names})


def slow_loader(count, seconds):
    def slowly(item):
        time.sleep(seconds)
        return item

    return DataLoader([make_clip()] * count, batch_size=None, collate_fn=slowly)


def test_waiting_for_data_is_told_from_work():
    recorder = Recorder()
    make_trainer(Throughput(), recorder, max_steps=4).fit(make_module(), slow_loader(6, 0.3))
    assert recorder.seen[-1]["perf/data_wait"] > 0.5
    # Two clips of three frames in 0.3 s of waiting and some work.
    assert 0 < recorder.seen[-1]["perf/train_fps"] < 6 / 0.3


def test_validation_counts_as_neither():
    class SlowValidation(pl.Callback):
        def on_validation_epoch_start(self, trainer, pl_module):
            time.sleep(0.5)

    recorder = Recorder()
    options = {"max_steps": 4, "val_check_interval": 1, "num_sanity_val_steps": 0}
    trainer = make_trainer(Throughput(), recorder, SlowValidation(), **options)
    trainer.fit(make_module(), feed(*[make_clip()] * 4), feed(MemoryVideo(frames=2)))
    assert recorder.seen[-1]["perf/train_fps"] > 6 / 0.5


def test_it_logs_with_the_logger_only():
    recorder = Recorder()
    trainer = make_trainer(Throughput(), recorder, max_steps=4, log_every_n_steps=2)
    trainer.fit(make_module(), feed(*[make_clip()] * 4))
    assert recorder.seen[0]["perf/train_fps"] == -1
    assert recorder.seen[1]["perf/train_fps"] == pytest.approx(recorder.seen[2]["perf/train_fps"])
    assert recorder.seen[3]["perf/train_fps"] != recorder.seen[1]["perf/train_fps"]
