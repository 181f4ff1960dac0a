"""How fast training runs, and what share of it is waiting for data."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from vosfw.types import Clip


class Throughput(pl.Callback):
    """Logs ``perf/train_fps`` (frames of clips per second, all processes) and ``perf/data_wait`` (0..1).

    Measured over the batches between two logging steps; validation is left out.
    """

    def __init__(self) -> None:
        self._reset()
        self._mark: float | None = None

    def _reset(self) -> None:
        self._frames, self._waited, self._worked = 0, 0.0, 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The batch is there: what passed since the last one ended was waiting."""
        now = time.perf_counter()
        if self._mark is not None:
            self._waited += now - self._mark
        self._mark = now

    def on_train_batch_end(
        self, trainer: Any, pl_module: pl.LightningModule, outputs: Any, batch: Clip, batch_idx: int
    ) -> None:
        """The batch is done."""
        logs = trainer.global_step % trainer.log_every_n_steps == 0
        if logs and pl_module.device.type == "cuda":
            # Kernels run on; without this the last batches would look free.
            torch.cuda.synchronize(pl_module.device)
        now = time.perf_counter()
        if self._mark is not None:
            self._worked += now - self._mark
        self._frames += batch.frames.shape[0] * batch.frames.shape[1]
        self._mark = now
        total = self._waited + self._worked
        if logs and total > 0:
            values = {
                "perf/train_fps": self._frames * trainer.world_size / total,
                "perf/data_wait": self._waited / total,
            }
            pl_module.log_dict(values, batch_size=batch.frames.shape[0])
            self._reset()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What passed since the last training batch was no waiting."""
        self._mark = None
