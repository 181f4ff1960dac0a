from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from plain_videos import PlainVideos

from callbacks.max_skip_schedule import MaxSkipSchedule
from vosfw.config import config_dir
from vosfw.data.augment import ClipAugment
from vosfw.data.datamodule import VOSDataModule
from vosfw.data.sampler import PerFrameSampler
from vosfw.errors import ConfigError
from vosfw.types import Clip

STCN = {0.0: 5, 0.1: 10, 0.2: 15, 0.3: 20, 0.4: 25, 0.9: 5}


class Widest(pl.LightningModule):
    """Records the widest step between frames of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.widest: list[int] = []

    def training_step(self, batch: Clip, index: int) -> torch.Tensor:
        gaps = [abs(int(a) - int(b)) for m in batch.meta for a, b in zip(m.frames, m.frames[1:], strict=False)]
        self.widest.append(max(gaps))
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def run(schedule: MaxSkipSchedule, workers: int = 0, **options: object) -> Widest:
    data = VOSDataModule(
        train=PlainVideos([120] * 8),
        sampler=partial(PerFrameSampler, max_skip=1),
        augment=ClipAugment((16, 16)),
        batch_size=2,
        num_workers=workers,
    )
    module = Widest()
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=[schedule],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **{"max_steps": 16, **options},
    )
    trainer.fit(module, datamodule=data)
    return module


def test_values_by_fraction() -> None:
    schedule = MaxSkipSchedule(STCN)
    expected = {0: 5, 0.0999: 5, 0.1: 10, 0.25: 15, 0.399: 20, 0.4: 25, 0.8: 25, 0.9: 5, 1.0: 5}
    assert {progress: schedule.value(progress) for progress in expected} == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_steers_the_sampler_over_epochs(workers: int) -> None:
    widest = run(MaxSkipSchedule({0.0: 1, 0.5: 40}), workers).widest
    assert len(widest) == 16
    assert max(widest[:8]) <= 2
    assert max(widest[8:]) > 10


def test_counts_batches_when_gradients_accumulate() -> None:
    widest = run(MaxSkipSchedule({0.0: 1, 0.5: 40}), accumulate_grad_batches=2, max_steps=8).widest
    assert len(widest) == 16
    assert max(widest[:8]) <= 2
    assert max(widest[8:]) > 10


def test_counts_epochs_that_are_cut_short() -> None:
    widest = run(MaxSkipSchedule({0.0: 1, 0.5: 40}), limit_train_batches=3, max_epochs=4, max_steps=-1).widest
    assert len(widest) == 12
    assert max(widest[:6]) <= 2
    assert max(widest[6:]) > 10


def test_needs_an_end() -> None:
    with pytest.raises(ConfigError, match=r"Set trainer\.max_steps or max_epochs"):
        run(MaxSkipSchedule({0.0: 1}), max_steps=-1, max_epochs=-1, max_time="00:00:00:05")


def test_needs_our_data() -> None:
    with pytest.raises(ConfigError, match="VOSDataModule"):
        MaxSkipSchedule({0.0: 1}).on_train_start(pl.Trainer(accelerator="cpu", logger=False), Widest())


@pytest.mark.parametrize("milestones", [{}, {0.1: 5}, {0.0: 5, 1.5: 6}, {0.0: 0}])
def test_illegal_milestones(milestones: dict[float, int]) -> None:
    with pytest.raises(ConfigError, match="Milestones"):
        MaxSkipSchedule(milestones)


def test_config() -> None:
    schedule = instantiate(OmegaConf.load(config_dir() / "callbacks" / "max_skip_schedule.yaml"))
    assert schedule.milestones == sorted(STCN.items())
