"""Callback for tests: ends the process as an out-of-memory killer, a reboot or a time limit would."""

import os
import signal
from pathlib import Path

import pytorch_lightning as pl


class Killer(pl.Callback):
    """Sends a signal to its own process after a training batch.

    Args:
        step: Optimiser steps until then.
        name: Of the signal.
        once: A file that is made then; where it is there, nothing is sent.
    """

    def __init__(self, step: int, name: str = "SIGKILL", once: str | None = None) -> None:
        self.step = step
        self.signal = signal.Signals[name]
        self.once = once

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step and self._first():
            os.kill(os.getpid(), self.signal)

    def _first(self) -> bool:
        if self.once is None:
            return True
        try:
            Path(self.once).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True
