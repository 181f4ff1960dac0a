"""The one data module: any data set, any sampler."""

import os
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

import pytorch_lightning as pl
import torch

from vosfw.data.augment import ClipAugment
from vosfw.data.dataset import VideoDataset
from vosfw.data.loader import ClipLoader, Progress, VideoLoader
from vosfw.data.perturbation.base import Perturbation, PerturbedDataset
from vosfw.data.perturbation.none import NoPerturbation
from vosfw.data.sampler import ClipSampler, process
from vosfw.errors import ConfigError
from vosfw.types import Clip

Source: TypeAlias = VideoDataset | Callable[[], VideoDataset]


class VOSDataModule(pl.LightningDataModule):
    """Training clips (``Clip``) by a sampler; for validation, test and prediction one ``Video`` per step.

    Use with ``Trainer(use_distributed_sampler=False)``: clips and videos are shared out over processes here, none
    twice. An interrupted run resumes with exactly the next batch.

    Args:
        train: Videos to train on: a data set, or a function that makes one when it is needed.
        val: Videos to validate on.
        test: Videos to test on.
        predict: Videos to predict; ``test`` by default.
        sampler: Makes the sampler of the training set.
        augment: Turns what is read into what is trained on; STCN's by default.
        perturbation: What befalls the videos of test and prediction; none by default.
        batch_size: Training clips per step and process.
        num_workers: Processes that read training clips; None: one per CPU core, up to 4.
        root: Of the files. Like the following three, only kept to be seen: configs refer to it.
        split: Videos that are evaluated.
        train_split: Videos that are trained on.
        val_split: Videos that are validated on.
    """

    def __init__(
        self,
        train: Source | None = None,
        val: Source | None = None,
        test: Source | None = None,
        predict: Source | None = None,
        sampler: Callable[[VideoDataset], ClipSampler] | None = None,
        augment: ClipAugment | None = None,
        perturbation: Perturbation | None = None,
        batch_size: int = 4,
        num_workers: int | None = None,
        root: str | None = None,
        split: str | Sequence[str] | None = None,
        train_split: str | Sequence[str] | None = None,
        val_split: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        workers = min(4, os.cpu_count() or 1) if num_workers is None else num_workers
        if batch_size < 1 or workers < 0:
            raise ConfigError(f"Wanted batch_size >= 1 and num_workers >= 0, got {batch_size} and {num_workers}.")
        self.augment = ClipAugment() if augment is None else augment
        self.perturbation = NoPerturbation() if perturbation is None else perturbation
        self.batch_size, self.num_workers = batch_size, workers
        self.root, self.split, self.train_split, self.val_split = root, split, train_split, val_split
        self.train_sampler: ClipSampler | None = None
        self._sources = {"train": train, "val": val, "test": test, "predict": test if predict is None else predict}
        self._sampler = sampler
        self.done: Collection[str] = ()
        """Names of test videos that an interrupted run has finished."""
        self._datasets: dict[str, VideoDataset] = {}

    def setup(self, stage: str | None = None) -> None:
        """Open the data sets of a stage, so that what is missing is found before work starts."""
        names = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("predict",)}
        for name in names.get(stage or "", tuple(self._sources)):
            if self._sources[name] is not None:
                self.dataset(name)

    def dataset(self, name: str) -> VideoDataset:
        """The data set ``train``, ``val``, ``test`` or ``predict``, opened on first use.

        Raises:
            ConfigError: If there is none of that name.
        """
        source = self._sources.get(name)
        if source is None:
            raise ConfigError(f"This data module has no '{name}' videos. Set data.{name}.")
        if name not in self._datasets:
            videos = source if isinstance(source, VideoDataset) else source()
            if name in ("test", "predict") and not isinstance(self.perturbation, NoPerturbation):
                videos = PerturbedDataset(videos, self.perturbation)
            self._datasets[name] = videos
        return self._datasets[name]

    def train_dataloader(self) -> ClipLoader:
        """Batches of training clips.

        Raises:
            ConfigError: If there is no sampler, or an epoch is shorter than a batch.
        """
        if self._sampler is None:
            raise ConfigError("Training needs a sampler. Choose data/sampler=per_frame or per_clip.")
        trainer = self.trainer
        self.train_sampler = self._sampler(self.dataset("train"))
        if len(self.train_sampler) < self.batch_size:
            raise ConfigError(
                f"An epoch has {len(self.train_sampler)} clips per process, fewer than data.batch_size = "
                f"{self.batch_size}. Lower the batch size or raise data.sampler.repeat."
            )
        return ClipLoader(
            self.dataset("train"),
            self.train_sampler,
            self.augment,
            self.batch_size,
            self.num_workers,
            pin_memory=torch.cuda.is_available(),
            progress=None if trainer is None else lambda: _progress(trainer),
        )

    def val_dataloader(self) -> VideoLoader | list[VideoLoader]:
        """Videos to validate on; nothing if there are none."""
        return [] if self._sources["val"] is None else VideoLoader(self.dataset("val"))

    def test_dataloader(self) -> VideoLoader:
        """Videos to test on."""
        return VideoLoader(self.dataset("test"), self.done)

    def predict_dataloader(self) -> VideoLoader:
        """Videos to predict."""
        return VideoLoader(self.dataset("predict"))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment training clips on their device; everything else passes."""
        return self.augment(batch) if isinstance(batch, Clip) else batch

    @property
    def clips_per_step(self) -> int:
        """Training clips of all processes together, per step."""
        return self.batch_size * process()[1]


def _progress(trainer: pl.Trainer) -> Progress:
    batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    return Progress(int(batches.processed), int(trainer.num_training_batches))
