from functools import partial
from pathlib import Path

import pytest
import torch

from vosfw.data.augment import ClipAugment
from vosfw.data.datamodule import VOSDataModule
from vosfw.data.davis import DavisDataset
from vosfw.data.sampler import PerClipSampler, PerFrameSampler
from vosfw.data.synthetic import SyntheticDataset
from vosfw.errors import ConfigError, DatasetError
from vosfw.types import Clip

synthetic = partial(SyntheticDataset, size=(32, 48), length=10, objects=(1, 2))


def test_training_clips() -> None:
    data = VOSDataModule(
        train=synthetic("train", videos=7),
        sampler=partial(PerClipSampler, clip_length=2),
        augment=ClipAugment((32, 32)),
        batch_size=3,
        num_workers=0,
    )
    loader = data.train_dataloader()
    assert len(loader) == 2
    batch = data.on_after_batch_transfer(next(iter(loader)), 0)
    assert isinstance(batch, Clip)
    assert batch.frames.shape == (3, 5, 3, 32, 32)
    assert batch.frames.dtype == torch.float32
    assert batch.frames.max() <= 1
    assert torch.equal(batch.given[:, 0], batch.valid)


def test_evaluation_hands_out_videos() -> None:
    data = VOSDataModule(val=partial(synthetic, "val", videos=2), test=synthetic("test", videos=3))
    data.setup("validate")
    assert [video.name for video in data.val_dataloader()] == ["val-0000", "val-0001"]
    assert [video.name for video in data.test_dataloader()] == ["test-0000", "test-0001", "test-0002"]
    assert [video.name for video in data.predict_dataloader()] == ["test-0000", "test-0001", "test-0002"]
    video = data.dataset("test").video(0)
    assert data.on_after_batch_transfer(video, 0) is video


def test_data_sets_open_with_their_stage(davis: Path) -> None:
    data = VOSDataModule(
        train=partial(DavisDataset, davis, "nowhere"),
        val=partial(DavisDataset, davis, "val"),
        test=partial(DavisDataset, davis, "bird"),
    )
    data.setup("test")
    assert len(data.test_dataloader()) == 1
    data.setup("validate")
    with pytest.raises(DatasetError, match="'nowhere'"):
        data.setup("fit")
    with pytest.raises(DatasetError, match="'nowhere'"):
        data.setup()
    assert data.dataset("val") is data.dataset("val")


def test_without_validation_videos() -> None:
    data = VOSDataModule(train=synthetic("train"), sampler=PerFrameSampler)
    data.setup("fit")
    assert data.val_dataloader() == []
    with pytest.raises(ConfigError, match=r"no 'test' videos.*data\.test"):
        data.test_dataloader()


def test_what_training_needs() -> None:
    with pytest.raises(ConfigError, match="sampler"):
        VOSDataModule(train=synthetic("train")).train_dataloader()
    with pytest.raises(ConfigError, match=r"3 clips per process, fewer than data\.batch_size = 4"):
        VOSDataModule(train=synthetic("train", videos=3), sampler=PerFrameSampler).train_dataloader()


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"num_workers": -1}])
def test_illegal_options(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="batch_size >= 1 and num_workers >= 0"):
        VOSDataModule(**options)


def test_workers_by_default() -> None:
    assert 1 <= VOSDataModule().num_workers <= 4
