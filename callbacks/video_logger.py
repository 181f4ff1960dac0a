"""Overlays of fixed validation videos in W&B."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger

from vosfw.module import FrameCallback, FrameResult, VOSModule
from vosfw.types import VOID


class VideoLogger(FrameCallback):
    """Shows truth and prediction of the same frames after every validation, as mask images of ``val/overlay``.

    Does nothing without a W&B logger.

    Args:
        videos: How many validation videos, the first ones of the first process.
        frames: How many frames of each, evenly spread after the first.
        max_side: Longer side of the pictures in pixels; larger frames are thinned out.
    """

    def __init__(self, videos: int = 2, frames: int = 4, max_side: int = 640) -> None:
        self.videos = videos
        self.frames = frames
        self.max_side = max_side
        self._chosen: dict[str, set[int]] = {}
        self._images: list[Any] = []
        self._masks: list[dict[str, Any]] = []
        self._captions: list[str] = []

    def _wanted(self, trainer: pl.Trainer, result: FrameResult) -> bool:
        if not trainer.validating or trainer.sanity_checking or wandb_logger(trainer) is None:
            return False
        name, length = result.video.name, len(result.video)
        if name not in self._chosen:
            if len(self._chosen) >= self.videos:
                return False
            self._chosen[name] = {round((i + 1) * (length - 1) / self.frames) for i in range(self.frames)}
        return result.frame in self._chosen[name]

    def on_frame(self, trainer: pl.Trainer, module: VOSModule, result: FrameResult) -> None:
        """Keep the frame if it is one of the fixed ones."""
        if not self._wanted(trainer, result):
            return
        step = -(-max(result.video.size) // self.max_side)
        names = {slot + 1: f"object {id_}" for slot, id_ in enumerate(result.video.ids)}
        names |= {0: "background", VOID: "unlabelled"}
        masks = {"prediction": result.labels.cpu()} | ({} if result.truth is None else {"truth": result.truth})
        self._images.append(result.video.frame(result.frame)[:, ::step, ::step].permute(1, 2, 0).numpy())
        self._masks.append(
            {key: {"mask_data": mask[::step, ::step].numpy(), "class_labels": names} for key, mask in masks.items()}
        )
        self._captions.append(f"{result.video.name} {result.video.frames[result.frame]}")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hand the pictures to W&B."""
        logger = wandb_logger(trainer)
        if logger is not None and self._images:
            # Lightning counts steps from 0 where it logs.
            step = max(trainer.global_step - 1, 0)
            logger.log_image("val/overlay", self._images, step, masks=self._masks, caption=self._captions)
        self._images, self._masks, self._captions = [], [], []


def wandb_logger(trainer: pl.Trainer) -> WandbLogger | None:
    """The run's W&B logger, in the first process only."""
    found = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
    return found[0] if found and trainer.is_global_zero else None
