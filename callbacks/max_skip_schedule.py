"""The gap curriculum: how far apart the frames of training clips lie, over the run."""

import math
from collections.abc import Mapping

import pytorch_lightning as pl

from vosfw.data.datamodule import VOSDataModule
from vosfw.errors import ConfigError


class MaxSkipSchedule(pl.Callback):
    """Sets the training sampler's largest step between frames by the fraction of the run that is done.

    The value belongs to a clip's place in the run, not to the time at which it happens to be read, so it is the same
    with any number of workers and after resuming. STCN: 5, and 10, 15, 20, 25 from 10, 20, 30, 40 %, 5 from 90 %
    (which it changes at epoch boundaries only); PCVOS: 5 to 15 to 5.

    Args:
        milestones: Largest step by the fraction of the run from which it holds; must have 0.

    Raises:
        ConfigError: If the milestones have no 0, lie outside 0..1, or a step is less than 1; when training starts,
            if there is no ``VOSDataModule`` or no end to the run.
    """

    def __init__(self, milestones: Mapping[float, int]) -> None:
        self.milestones = sorted((float(start), int(skip)) for start, skip in milestones.items())
        starts = [start for start, _ in self.milestones]
        if not starts or starts[0] != 0 or starts[-1] > 1 or min(skip for _, skip in self.milestones) < 1:
            raise ConfigError(f"Milestones map fractions from 0 up to 1 to steps >= 1; got {dict(milestones)}.")

    def value(self, progress: float) -> int:
        """The largest step at a fraction of the run."""
        return [skip for start, skip in self.milestones if start <= progress or start == 0][-1]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hand the sampler its curriculum."""
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, VOSDataModule) or data.train_sampler is None:
            raise ConfigError("MaxSkipSchedule needs training data from a VOSDataModule. Remove it from the callbacks.")
        total = trainer.estimated_stepping_batches * trainer.accumulate_grad_batches
        if math.isinf(total):
            raise ConfigError("MaxSkipSchedule needs the length of the run. Set trainer.max_steps or max_epochs.")
        step, epoch_steps = data.clips_per_step, int(trainer.num_training_batches)

        def curriculum(epoch: int, clip: int) -> int:
            return self.value((epoch * epoch_steps + clip // step) / total)

        data.train_sampler.curriculum = curriculum
