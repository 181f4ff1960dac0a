"""The one LightningModule: trains on clips, evaluates on whole videos, through the engine."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import pytorch_lightning as pl
import torch
from jaxtyping import Integer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric

from vosfw.data.prefetch import prefetch
from vosfw.data.video import Video
from vosfw.engine.engine import Engine, VideoSource
from vosfw.errors import CheckpointError, ConfigError
from vosfw.interfaces import Segmenter
from vosfw.ops.allocator import keep_large_blocks
from vosfw.types import Clip

__all__ = ["FrameCallback", "FrameResult", "VOSModule", "check_composition"]

logger = logging.getLogger(__name__)

COMPILED = ("encode", "init_state", "segment", "memorize")


class FrameResult(NamedTuple):
    """One frame of an evaluated video, right after it was segmented."""

    video: Video
    index: int
    labels: Integer[Tensor, "Y X"]
    """Slot + 1 per pixel at the video's own size, uint8, on the device; given pixels are copied."""
    truth: Integer[Tensor, "Y X"] | None
    """On the host; None where nothing is known."""
    predicted: bool
    """False for a frame that was given."""


class FrameCallback(pl.Callback):
    """Is shown every segmented frame in validation, test and prediction."""

    def on_frame(self, trainer: pl.Trainer, module: "VOSModule", result: FrameResult) -> None:
        """Called once per segmented frame, in time order."""


class VOSModule(pl.LightningModule):
    """Trains and evaluates any network.

    Run it with ``Trainer(inference_mode=False)``: gradient correction needs autograd inside evaluation.

    Args:
        segmenter: The network.
        engine: Options of validation, test and prediction.
        train_engine: Options of training; None takes ``engine``.
        loss: Called with rollout, clip and progress in 0..1; returns scalars, of which ``loss`` is minimised.
        optimizer: Builds the optimiser from the parameters.
        scheduler: Builds a schedule per step from the optimiser. Where its ``total_steps`` or ``total_iters`` is None,
            the length of the run is filled in.
        metrics: Scores of validation and test; see ``vosfw.metrics.j_and_f``.
        composition: ``name``, ``model`` and ``engine`` as plain containers, stored in every checkpoint.
        compile: Options of ``torch.compile`` for the network's methods; None leaves them alone.
    """

    def __init__(
        self,
        segmenter: Segmenter[Any],
        engine: Engine,
        train_engine: Engine | None = None,
        loss: nn.Module | None = None,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None,
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        metrics: Metric | None = None,
        composition: Mapping[str, Any] | None = None,
        compile: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.engine = engine
        self.train_engine = train_engine or engine
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.scores = nn.ModuleDict({} if metrics is None else {"val": metrics, "test": metrics.clone()})
        self.composition = dict(composition or {})
        self.total_steps = math.inf
        self.unscored: list[str] = []
        self._frames, self._seconds = 0, 0.0
        # A process may have no video to evaluate when there are fewer videos than processes.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        if compile is not None:
            for name in COMPILED:
                setattr(segmenter, name, torch.compile(getattr(segmenter, name), **compile))

    @property
    def progress(self) -> float:
        """Share of the training that is done, in 0..1; 0 for a run without an end."""
        return min(self.global_step / max(self.total_steps, 1), 1.0)

    def setup(self, stage: str) -> None:
        """Lightning's hook, before anything else."""
        keep_large_blocks()

    def on_train_start(self) -> None:
        """Lightning's hook."""
        self.total_steps = float(self.trainer.estimated_stepping_batches)

    def training_step(self, batch: Clip, batch_idx: int) -> Tensor:
        """Loss of one batch of clips."""
        if self.loss is None:
            raise ConfigError("VOSModule was built without a loss; training needs one")
        rollout = self.train_engine.rollout(self.segmenter, batch)
        terms: dict[str, Tensor] = self.loss(rollout, batch, self.progress)
        size = batch.frames.shape[0]
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, batch_size=size, prog_bar=True)
        return terms["loss"]

    def configure_optimizers(self) -> Any:
        """The optimiser over all parameters that are trained, and its schedule per step."""
        if self.optimizer is None:
            raise ConfigError("VOSModule was built without an optimizer; training needs one")
        optimizer = self.optimizer(parameter for parameter in self.parameters() if parameter.requires_grad)
        if self.scheduler is None:
            return optimizer
        options = getattr(self.scheduler, "keywords", {})
        missing = [name for name in ("total_steps", "total_iters") if options.get(name, 0) is None]
        if missing and math.isinf(self.trainer.estimated_stepping_batches):
            raise ConfigError("this scheduler needs the length of the run: set trainer.max_steps")
        length = {name: int(self.trainer.estimated_stepping_batches) for name in missing}
        schedule = self.scheduler(optimizer, **length)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_validation_epoch_start(self) -> None:
        """Lightning's hook."""
        self._start("val")

    def on_test_epoch_start(self) -> None:
        """Lightning's hook."""
        self._start("test")

    def on_predict_epoch_start(self) -> None:
        """Lightning's hook."""
        self._start(None)

    def validation_step(self, batch: Video, batch_idx: int) -> None:
        """Segment and score one video."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Video, batch_idx: int) -> None:
        """Segment and score one video."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Video, batch_idx: int) -> str:
        """Segment one video for the callbacks; returns its name."""
        self._evaluate(batch, None)
        return batch.name

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the validation videos."""
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        """Log the scores of the test videos."""
        self._finish("test")
