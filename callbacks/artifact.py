"""The best checkpoint as a W&B artifact."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from callbacks.video_logger import wandb_logger


class BestCheckpointArtifact(pl.Callback):
    """Logs the best checkpoint once, when training ends; offline too, which Lightning's ``log_model`` refuses.

    Does nothing without a W&B logger.
    """

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """All checkpoints are written by now."""
        logger = wandb_logger(trainer)
        best = next((c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.monitor), None)
        if logger is None or best is None or not Path(best.best_model_path).is_file():
            return
        import wandb

        run = logger.experiment
        score = None if best.best_model_score is None else float(best.best_model_score)
        artifact = wandb.Artifact(f"model-{run.id}", "model", metadata={"score": score, "monitor": best.monitor})
        artifact.add_file(best.best_model_path, "best.ckpt")
        run.log_artifact(artifact, aliases=["best"])
