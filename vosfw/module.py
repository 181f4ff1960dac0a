"""The one LightningModule: trains on clips, evaluates on whole videos, through the engine."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric

from vosfw import parameter_groups
from vosfw.composition import check_composition
from vosfw.data.prefetch import ReadAhead
from vosfw.data.video import Video
from vosfw.engine.engine import Engine
from vosfw.errors import CheckpointError, ConfigError
from vosfw.interfaces import Segmenter
from vosfw.ledger import Ledger
from vosfw.metrics.result import JAndFResult
from vosfw.model.layers.backbone import freeze_statistics
from vosfw.ops.allocator import keep_large_blocks
from vosfw.types import Clip

__all__ = ["FrameCallback", "FrameResult", "VOSModule"]

logger = logging.getLogger(__name__)

COMPILED = ("encode", "init_state", "segment", "memorize")


class FrameResult(NamedTuple):
    """One frame of an evaluated video, right after it was segmented."""

    video: Video
    frame: int
    """Its number in the video."""
    labels: Integer[Tensor, "Y X"]
    """Slot + 1 per pixel at the video's own size, uint8, on the device; given pixels are copied."""
    truth: Integer[Tensor, "Y X"] | None
    """On the host; None where nothing is known."""
    predicted: bool
    """False for a frame that was given."""
    probs: Float[Tensor, "O Y X"]
    """Class probabilities at the video's own size, on the device, background first; 0 of slots not yet in use."""


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
        optimizer: Builds the optimiser from the parameters, or from groups of them as ``torch.optim`` has them.
        scheduler: Builds a schedule per step from the optimiser. Where its ``total_steps`` or ``total_iters`` is None,
            the length of the run is filled in.
        metrics: Scores of validation and test; see ``vosfw.metrics.j_and_f``.
        composition: ``name``, ``model`` and ``engine`` as plain containers, stored in every checkpoint.
        compile: Options of ``torch.compile`` for the network's methods; None leaves them alone.
        no_decay: Patterns of names (such as ``*.beta``) of parameters of the network without weight decay.
        layer_lr: Factor on the learning rate by pattern; see ``vosfw.parameter_groups.groups``.
        freeze: Patterns of parameters and parts that do not learn: not optimised, always in evaluation mode.
        frozen_statistics: All batch norms keep their running statistics; their affine parameters still learn.

    Raises:
        ConfigError: If an engine cannot go with the network, or ``freeze`` names nothing, or everything.
    """

    def __init__(
        self,
        segmenter: Segmenter[Any],
        engine: Engine,
        train_engine: Engine | None = None,
        loss: nn.Module | None = None,
        optimizer: Callable[[Iterable[Any]], Optimizer] | None = None,
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        metrics: Metric | None = None,
        composition: Mapping[str, Any] | None = None,
        compile: Mapping[str, Any] | None = None,
        no_decay: Sequence[str] = (),
        layer_lr: Mapping[str, float | int | None] | None = None,
        freeze: Sequence[str] = (),
        *,
        frozen_statistics: bool = False,
    ) -> None:
        super().__init__()
        for options in (engine, engine if train_engine is None or loss is None else train_engine):
            options.check(segmenter)
        self.segmenter = segmenter
        self.engine = engine
        self.train_engine = train_engine or engine
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.no_decay = (no_decay,) if isinstance(no_decay, str) else tuple(no_decay)
        self.layer_lr = dict(layer_lr or {})
        self.freeze_patterns = (freeze,) if isinstance(freeze, str) else tuple(freeze)
        self.still = parameter_groups.freeze(segmenter, self.freeze_patterns)
        """Parts of the network that stay in evaluation mode."""
        self.frozen_statistics = frozen_statistics
        self.val_metric: Any = metrics
        self.test_metric: Any = None if metrics is None else metrics.clone()
        self.composition = dict(composition or {})
        self.result: JAndFResult | None = None
        """Of the last validation or test."""
        self.validated: tuple[int, JAndFResult] | None = None
        """The last validation's step and result."""
        self.ledger: Ledger | None = None
        """Where a test notes what is done."""
        self.restored: Sequence[Any] = ()
        """Measures of videos that an interrupted test had done."""
        self.total_steps = math.inf
        self._frames, self._seconds = 0, 0.0
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

    def train(self, mode: bool = True) -> "VOSModule":
        """Switch between training and evaluation; what is frozen stays in evaluation."""
        super().train(mode)
        if self.frozen_statistics:
            freeze_statistics(self.segmenter)
        for name in self.still:
            self.segmenter.get_submodule(name).eval()
        return self

    def on_train_start(self) -> None:
        """Lightning's hook."""
        # Lightning leaves this to us. A module's own train() is where norms keep their statistics.
        self.train()
        self.total_steps = float(self.trainer.estimated_stepping_batches)
        if (self.layer_lr or self.still) and self.trainer.is_global_zero:
            logger.info(parameter_groups.table(self.trainer.optimizers[0], self.segmenter))

    def training_step(self, batch: Clip, batch_idx: int) -> Tensor:
        """Loss of one batch of clips."""
        if self.loss is None:
            raise ConfigError("VOSModule was built without a loss; training needs one")
        rollout = self.train_engine.rollout(self.segmenter, batch)
        if rollout.steps or bool(batch.valid.any()):
            terms: dict[str, Tensor] = self.loss(rollout, batch, self.progress)
        else:
            # No object in any clip. Other processes wait for the gradients of all parameters.
            terms = {"loss": torch.stack([p.sum() * 0.0 for p in self.parameters() if p.requires_grad]).sum()}
        size = batch.frames.shape[0]
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, batch_size=size, prog_bar=True)
        return terms["loss"]

    def configure_optimizers(self) -> Any:
        """The optimiser over all parameters that are trained, and its schedule per step."""
        if self.optimizer is None:
            raise ConfigError("VOSModule was built without an optimizer; training needs one")
        optimizer = self.optimizer(self._groups())
        parameter_groups.apply_factors(optimizer)
        if self.scheduler is None:
            return optimizer
        options = getattr(self.scheduler, "keywords", {})
        missing = [name for name in ("total_steps", "total_iters") if options.get(name, 0) is None]
        if missing and math.isinf(self.trainer.estimated_stepping_batches):
            raise ConfigError("this scheduler needs the length of the run: set trainer.max_steps")
        length = {name: int(self.trainer.estimated_stepping_batches) for name in missing}
        schedule = self.scheduler(optimizer, **length)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _groups(self) -> Any:
        """The parameters that are trained, in groups where options make some."""
        if not self.no_decay and not self.layer_lr:
            return [parameter for parameter in self.parameters() if parameter.requires_grad]
        return parameter_groups.groups(self.segmenter, self.layer_lr, self.no_decay)

    def on_validation_epoch_start(self) -> None:
        """Lightning's hook."""
        self._start("val")

    def on_test_epoch_start(self) -> None:
        """Lightning's hook."""
        self._start("test")

    def on_predict_epoch_start(self) -> None:
        """Lightning's hook."""
        self._start(None)

    def validation_step(self, batch: Video | None, batch_idx: int) -> None:
        """Segment and score one video."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Video | None, batch_idx: int) -> None:
        """Segment and score one video."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Video | None, batch_idx: int) -> str | None:
        """Segment one video for the callbacks; returns its name."""
        self._evaluate(batch, None)
        return None if batch is None else batch.name

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the validation videos."""
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        """Log the scores of the test videos."""
        self._finish("test")

    def on_predict_epoch_end(self) -> None:
        """Lightning's hook."""
        self._finish(None)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what ``vosfw.load`` needs to rebuild the network."""
        checkpoint["vosfw"] = {"version": 1, **self.composition}
        if self.validated is not None:
            step, result = self.validated
            checkpoint["val"] = {"step": step, **result.brief()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another composition, or of other groups of parameters.

        Raises:
            CheckpointError: Naming both and the first options that differ.
        """
        check_composition(self.composition, checkpoint.get("vosfw", {}), "the checkpoint")
        states = checkpoint.get("optimizer_states")
        if not states or self.optimizer is None:
            return
        groups = self._groups()
        groups = groups if isinstance(groups[0], dict) else [{"params": groups}]
        stored, own = (parameter_groups.sizes(each) for each in (states[0]["param_groups"], groups))
        if stored != own:
            raise CheckpointError(
                f"the checkpoint's run trained {stored} (parameters by group), this one trains {own}; go on with the "
                "same freeze, layer_lr and no_decay"
            )

    def _start(self, stage: str | None) -> None:
        self._frames, self._seconds = 0, 0.0
        metric = self._metric(stage)
        if metric is not None:
            metric.reset()

    def _metric(self, stage: str | None) -> Any:
        return {"val": self.val_metric, "test": self.test_metric}.get(stage or "")

    @torch.no_grad()
    def _evaluate(self, video: Video | None, stage: str | None) -> None:
        """Segment a video frame by frame, showing each one to metrics and callbacks, and keeping none."""
        if video is None:  # there are more processes than videos
            return
        trainer: Any = self.trainer
        watchers = [callback for callback in trainer.callbacks if isinstance(callback, FrameCallback)]
        metric = self._metric(stage)
        # Without any truth but the given masks, only the first frame is handed on: the video is listed as unscored.
        begun = 0 if metric is None else len(metric.headers)
        known = video.annotated if any(t not in video.given for t in video.annotated) else video.annotated[:1]
        geometry = self.engine.geometry(video.size, self.engine.augment(self.segmenter).grid)
        source = ReadAhead(video, unwanted=bool(self.engine.policy.process_unwanted))
        try:
            steps = self.engine.run(self.segmenter, source, self.device)
            while True:
                start = time.perf_counter()
                step = next(steps, None)
                if step is None:
                    break
                probs = self.engine.publish(step, geometry)
                labels = self.engine.label_map(step, probs)[0]
                if labels.is_cuda:
                    torch.cuda.synchronize(labels.device)
                self._seconds += time.perf_counter() - start
                self._frames += 1
                truth = video.truth(step.frame) if metric is not None or watchers else None
                if metric is not None and truth is not None and step.frame in known:
                    metric.update(
                        labels[None],
                        truth[None].to(labels.device),
                        video=video.name,
                        ids=video.ids,
                        frames=[video.frames[step.frame]],
                        starts=[video.frames[start] for start in video.introduced.values()],
                        groups=[video.groups.get(id_, "") for id_ in video.ids],
                    )
                result = FrameResult(video, step.frame, labels, truth, step.predicted, probs[0])
                for callback in watchers:
                    callback.on_frame(self.trainer, self, result)
                del result, probs  # which would take memory beside those of the next frame
        finally:
            source.close()
        if self.ledger is not None and stage == "test" and metric is not None:
            self.ledger.add(video.name, metric.measures(begun))

    def _finish(self, stage: str | None) -> None:
        speed = self._frames / self._seconds if self._seconds else 0.0
        if stage is None:
            logger.info("segmented %d frames, %.1f a second", self._frames, speed)
            return
        self.log("perf/fps", speed, sync_dist=True, reduce_fx="sum")
        metric = self._metric(stage)
        if metric is None:
            return
        if stage == "test" and self.trainer.is_global_zero:
            for measures in self.restored:
                metric.restore(measures)
        self.result = result = metric.compute()
        if stage == "val":
            self.validated = self.global_step, result
        if result.unscored and self.trainer.is_global_zero:
            logger.info("no score for %d videos: %s", len(result.unscored), ", ".join(result.unscored))
        for name, value in result.scalars().items():
            self.log(f"{stage}/{name}", value, prog_bar=name == "j_and_f")
