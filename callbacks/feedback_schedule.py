"""Which masks training remembers from frame to frame, over the run."""

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from vosfw.errors import ConfigError
from vosfw.module import VOSModule

KINDS = ("truth", "prediction")


class FeedbackSchedule(pl.Callback):
    """Sets ``feedback`` of the training engine by the fraction of the run that is done.

    The value follows from the number of the step alone, so it is the same after resuming. CFBI's sequential training
    (Yang, Wei, Yang, ECCV 2020, section 4) and RPCM (Xu et al., AAAI 2022, as released): true masks of the previous
    frame in the first half, predicted ones from then on.

    Args:
        milestones: ``truth`` or ``prediction`` by the fraction of the run, in 0..1, from which it holds; must have 0.

    Raises:
        ConfigError: If the milestones have no 0, lie outside 0..1, or name anything else; when training starts, if
            the module is no ``VOSModule`` or the run has no end.
    """

    def __init__(self, milestones: Mapping[float, str]) -> None:
        self.milestones = sorted((float(start), str(kind)) for start, kind in milestones.items())
        starts = [start for start, _ in self.milestones]
        if not starts or starts[0] != 0 or starts[-1] > 1 or not {kind for _, kind in self.milestones} <= set(KINDS):
            raise ConfigError(
                f"Milestones map fractions from 0 up to 1 to one of {', '.join(KINDS)}; got {dict(milestones)}."
            )

    def value(self, progress: float) -> str:
        """What is remembered at a fraction of the run."""
        return [kind for start, kind in self.milestones if start <= progress or start == 0][-1]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse what cannot be scheduled."""
        if not isinstance(pl_module, VOSModule):
            raise ConfigError("FeedbackSchedule needs a VOSModule. Remove it from the callbacks.")
        if math.isinf(trainer.estimated_stepping_batches):
            raise ConfigError("FeedbackSchedule needs the length of the run. Set trainer.max_steps or max_epochs.")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set what this step remembers."""
        if isinstance(pl_module, VOSModule):
            feedback = self.value(pl_module.progress)
            if pl_module.train_engine.feedback != feedback:
                pl_module.train_engine = pl_module.train_engine.replace(feedback=feedback)
