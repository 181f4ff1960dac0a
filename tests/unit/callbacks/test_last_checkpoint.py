import pytorch_lightning as pl
import torch
from modules import MemoryVideo, feed, make_module, make_trainer
from scenes import make_clip

from callbacks import LastCheckpoint


class Noter(pl.Callback):
    """Notes the step of the file as it is after each batch and validation."""

    def __init__(self, path):
        self.path, self.steps, self.validated = path, [], []

    def _step(self):
        return torch.load(self.path, weights_only=True)["global_step"] if self.path.exists() else None

    def on_train_batch_start(self, *arguments):
        self.steps.append(self._step())

    def on_validation_start(self, *arguments):
        self.validated.append(self._step())

    def on_fit_end(self, *arguments):
        self.steps.append(self._step())


def fit(path, every, **options):
    noter = Noter(path)
    trainer = make_trainer(noter, LastCheckpoint(path, every), **options)
    trainer.fit(make_module(), feed(*[make_clip()] * 5), feed(MemoryVideo(frames=2)))
    return noter


def test_it_writes_at_its_interval_and_at_the_end(tmp_path):
    noter = fit(tmp_path / "new" / "last.ckpt", 2, max_steps=5, limit_val_batches=0)
    assert noter.steps == [None, None, 2, 2, 4, 5]


def test_a_validation_that_follows_comes_first(tmp_path):
    noter = fit(tmp_path / "last.ckpt", 2, max_steps=4, val_check_interval=2, num_sanity_val_steps=1)
    assert noter.validated == [None, None, 2]
    assert noter.steps == [None, None, 2, 2, 4]


def test_a_trial_run_writes_nothing(tmp_path):
    fit(tmp_path / "last.ckpt", 1, fast_dev_run=2)
    assert not (tmp_path / "last.ckpt").exists()
