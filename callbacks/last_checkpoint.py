"""The state that a run is resumed from."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint


class LastCheckpoint(Checkpoint):
    """Writes the state of the run to one file, every few steps and at the end.

    When a validation follows, the state is written after it. Lightning would otherwise skip the validation if the run
    was killed in it and then resumed.

    Args:
        path: The file; replaced at once or not at all.
        every_n_steps: Interval in optimiser steps.
    """

    def __init__(self, path: str | Path, every_n_steps: int = 100) -> None:
        self.path = Path(path)
        self.every_n_steps = every_n_steps
        self._saved = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write if it is time and no validation follows."""
        fit: Any = trainer.fit_loop
        if not fit.epoch_loop._should_check_val_fx(fit._data_fetcher):
            self._write(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write if it is time."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._write(trainer)

    def _write(self, trainer: Any) -> None:
        step = trainer.global_step
        due = step % self.every_n_steps == 0 or step == trainer.max_steps
        if due and step != self._saved and not trainer.fast_dev_run:
            self._saved = step
            trainer.save_checkpoint(self.path, weights_only=False)
