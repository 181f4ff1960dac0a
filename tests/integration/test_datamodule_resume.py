"""An interrupted run sees exactly the batches that an uninterrupted one sees."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from plain_videos import PlainVideos
from pytorch_lightning.callbacks import ModelCheckpoint

from callbacks.max_skip_schedule import MaxSkipSchedule
from vosfw.data.augment import ClipAugment
from vosfw.data.datamodule import VOSDataModule
from vosfw.data.sampler import PerFrameSampler
from vosfw.types import Clip

EPOCH = 5


class StoppedError(Exception):
    pass


class Recorder(pl.LightningModule):
    """Remembers a fingerprint of every batch it has finished."""

    def __init__(self, stop_in: int | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seen: dict[int, tuple[object, ...]] = {}
        self.stop_in = stop_in

    def training_step(self, batch: Clip, index: int) -> torch.Tensor:
        if self.global_step == self.stop_in:
            raise StoppedError
        fingerprint = (batch.meta, float(batch.frames.double().sum()), int(batch.labels.long().sum()))
        self.seen[self.global_step] = fingerprint
        return self.weight * batch.frames.mean()

    def validation_step(self, video: object, index: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(folder: Path, workers: int, module: Recorder, resume: Path | None = None, **checkpoint: object) -> Recorder:
    data = VOSDataModule(
        train=PlainVideos([30] * 2 * EPOCH),
        val=PlainVideos([3]),
        sampler=PerFrameSampler,
        augment=ClipAugment((16, 16)),
        batch_size=2,
        num_workers=workers,
    )
    saver = ModelCheckpoint(folder, filename="{step}", save_top_k=-1, **checkpoint)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=13,
        callbacks=[saver, MaxSkipSchedule({0.0: 1, 0.3: 9})],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, datamodule=data, ckpt_path=resume)
    return module


def interrupted(folder: Path, workers: int, stop_in: int, **checkpoint: object) -> None:
    with pytest.raises(StoppedError):
        fit(folder, workers, Recorder(stop_in), **checkpoint)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """A run of two epochs and a bit."""
    module = fit(tmp_path_factory.mktemp("whole"), 0, Recorder(), every_n_train_steps=100)
    assert len({str(batch) for batch in module.seen.values()}) == 13
    return module


def check_rest(whole: Recorder, workers: int, saved: Path, step: int) -> None:
    rest = fit(saved.parent / "rest", workers, Recorder(), saved, every_n_train_steps=100)
    assert rest.seen == {t: batch for t, batch in whole.seen.items() if t >= step}
    assert torch.equal(rest.weight, whole.weight)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("step", [3, EPOCH, EPOCH + 2])
def test_resumes_with_the_next_batch(whole: Recorder, tmp_path: Path, workers: int, step: int) -> None:
    interrupted(tmp_path, workers, step + 1, every_n_train_steps=step)
    check_rest(whole, workers, tmp_path / f"step={step}.ckpt", step)


@pytest.mark.parametrize("at_epoch_end", [False, True])
def test_resumes_from_the_end_of_an_epoch(whole: Recorder, tmp_path: Path, at_epoch_end: bool) -> None:
    interrupted(tmp_path, 0, EPOCH + 2, every_n_epochs=1, save_on_train_epoch_end=at_epoch_end)
    check_rest(whole, 0, tmp_path / f"step={EPOCH}.ckpt", EPOCH)


def test_a_batch_in_which_training_stopped_is_repeated(whole: Recorder, tmp_path: Path) -> None:
    interrupted(tmp_path, 2, 8, every_n_train_steps=100, save_on_exception=True)
    check_rest(whole, 0, tmp_path / "step=8.ckpt", 8)


def test_resumes_twice(whole: Recorder, tmp_path: Path) -> None:
    interrupted(tmp_path, 0, 3, every_n_train_steps=2)
    with pytest.raises(StoppedError):
        fit(tmp_path / "on", 0, Recorder(stop_in=5), tmp_path / "step=2.ckpt", every_n_train_steps=4)
    check_rest(whole, 0, tmp_path / "on" / "step=4.ckpt", 4)
