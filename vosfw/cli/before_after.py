"""What a training has brought: scores of the start weights beside those of the best ones."""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from vosfw.config import to_container
from vosfw.data.files import replacing
from vosfw.errors import ConfigError
from vosfw.hub import save
from vosfw.module import VOSModule

logger = logging.getLogger(__name__)

FIGURES = ("j_and_f", "j", "f")
START = "before.safetensors"
"""Beside the run's checkpoints."""
NOTE = "before_after.json"
FORGOTTEN = 0.005
"""Loss of J&F on the other videos that is worth a word."""


class BeforeAfter:
    """Scores the start weights before a training, and compares the best ones with them; nothing without the option.

    Videos of validation and of test are scored, the latter with what the data module has for it. All is written to
    ``before_after.json`` in the run's folder: by ``before`` at once, so that a resumed run has it.

    Args:
        config: Of the training; ``run_dir`` is set.
        trainer: What trains.
        module: With the start weights.
        datamodule: The videos.

    Raises:
        ConfigError: If the run has no best checkpoint to compare with.
    """

    def __init__(
        self, config: DictConfig, trainer: pl.Trainer, module: VOSModule, datamodule: pl.LightningDataModule
    ) -> None:
        self.names = to_container(config.before_after) if config.before_after is not None else {}
        self.folder = Path(config.run_dir)
        self.trainer, self.module, self.datamodule = trainer, module, datamodule
        self.found: dict[str, Any] = {}
        if not self.names:
            return
        if set(self.names) - {"val", "test"} or self.names.get("val") is None:
            raise ConfigError(f"before_after is {self.names}; wanted {{val: NAME, test: NAME or null}}")
        if module.val_metric is None:
            raise ConfigError("before_after: there is nothing to score; set metrics=davis17, or before_after=null")
        self.best: Any = next((c for c in trainer.checkpoint_callbacks if getattr(c, "monitor", None)), None)
        interval, steps = trainer.val_check_interval, trainer.max_steps
        batches = interval / trainer.accumulate_grad_batches if isinstance(interval, int) else 0
        if self.best is None or not trainer.limit_val_batches or 0 < steps < batches:
            raise ConfigError(
                "before_after compares with the best checkpoint of validation: keep callbacks.best, "
                "trainer.limit_val_batches > 0 and trainer.val_check_interval <= trainer.max_steps (now "
                f"{interval} and {steps}), or set before_after=null"
            )

    def before(self, *, resumed: bool) -> None:
        """Score the start weights, keep them beside the checkpoints, and let early stopping count from their score."""
        if not self.names:
            return
        if resumed:
            self.found = {"before": self._noted()}
        else:
            # What is wrong with the training videos is told before minutes of scoring.
            self.datamodule.setup("fit")
            self.datamodule.train_dataloader()
            composition = self.module.composition
            if self.trainer.is_global_zero:
                place = self.folder / "checkpoints" / START
                place.parent.mkdir(parents=True, exist_ok=True)
                weights = self.module.segmenter.state_dict()
                save(place, weights, composition["name"], composition["model"], composition["engine"])
            self.found = {"before": {}}
            for stage, run in (("val", self.trainer.validate), ("test", self.trainer.test)):
                if self.names.get(stage) is not None:
                    run(self.module, datamodule=self.datamodule, verbose=False)
                    self.found["before"][stage] = _brief(self.module)
            self._write()
        score = self.found["before"]["val"]["j_and_f"]
        for callback in self.trainer.early_stopping_callbacks:
            if callback.monitor == "val/j_and_f" and score is not None:
                callback.best_score = torch.tensor(score)

    def after(self) -> None:
        """Score the best weights, say which are better, and write and log it all."""
        if not self.names or self.trainer.interrupted:
            return
        for callback in self.trainer.early_stopping_callbacks:
            if callback.wait_count >= callback.patience:
                logger.info(
                    "stopped at step %d: no rise in %d validations", self.trainer.global_step, callback.patience
                )
        if not self.best.best_model_path:
            logger.warning("before_after: the run ended before its first validation; there is nothing to compare")
            return
        content = torch.load(self.best.best_model_path, map_location="cpu", weights_only=True)
        after = {"val": dict(content["val"])}
        if self.names.get("test") is not None:
            self.module.load_state_dict(content["state_dict"])
            self.trainer.test(self.module, datamodule=self.datamodule, verbose=False)
            after["test"] = _brief(self.module)
        self.found |= {"step": after["val"].pop("step"), "after": after}
        verdict = judge(self.found, self.names, self.folder / "checkpoints" / START, Path(self.best.best_model_path))
        self.found |= verdict._asdict()
        self._write()
        scores = {
            f"{when}/{stage}_{name}": figures[name]
            for when in ("before", "after")
            for stage, figures in self.found[when].items()
            for name in FIGURES
            if figures[name] is not None
        }
        for log in self.trainer.loggers:
            log.log_metrics(scores, step=self.trainer.global_step)
            log.save()
        if self.trainer.is_global_zero:
            logger.info("\n%s\n%s", to_text(self.found, self.names), verdict.text)

    def _noted(self) -> dict[str, Any]:
        """The scores of the start weights, which a run that is resumed no longer has."""
        note = self.folder / NOTE
        found: dict[str, Any] = json.loads(note.read_text())["before"] if note.is_file() else {}
        missing = [stage for stage, name in self.names.items() if name is not None and stage not in found]
        if missing:
            without = "before_after=null" if "val" in missing else "before_after.test=null"
            raise ConfigError(
                f"before_after: {note.absolute()} has no scores of the start weights on {' and '.join(missing)}; "
                f"resume in the run's own folder, or set {without}"
            )
        return found

    def _write(self) -> None:
        if self.trainer.is_global_zero:
            with replacing(self.folder / NOTE) as draft:
                draft.write_text(json.dumps({"sets": self.names, **self.found}, indent=2) + "\n")


class Verdict(NamedTuple):
    """Whether it helped."""

    better: str
    """The checkpoint with the higher J&F on validation; that of the start weights if they are equal."""
    text: str


def judge(found: dict[str, Any], names: dict[str, Any], start: Path, best: Path) -> Verdict:
    """Which weights are better on validation, in words."""
    old, new = (found[when]["val"]["j_and_f"] for when in ("before", "after"))
    if old is None or new is None:
        return Verdict(str(best), f"{names['val']}: nothing could be scored; no telling whether it helped")
    helped = new > old
    if helped:
        text = f"training raised J&F on {names['val']} by {new - old:.3f}; better: {best}"
    else:
        text = (
            f"training did not help: J&F on {names['val']} was {old:.3f} before and is {new:.3f} at best; better: the "
            f"start weights, {start}. What to try: docs/how_to_finetune.md"
        )
    if helped and names.get("test") is not None:
        lost = (found["before"]["test"]["j_and_f"] or 0) - (found["after"]["test"]["j_and_f"] or 0)
        text += f" ({names['test']}: {0 - round(lost, 3):+.3f}{', forgotten' if lost > FORGOTTEN else ''})"
    return Verdict(str(best if helped else start), text)


def to_text(found: dict[str, Any], names: dict[str, Any]) -> str:
    """The scores as a table."""
    rows = [
        (str(names[stage]), f"after, step {found['step']}" if when == "after" else when, found[when][stage])
        for stage in ("val", "test")
        if stage in found["before"]
        for when in ("before", "after")
    ]
    width, column = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    lines = [f"{'':<{width}}  {'':<{column}}{'J&F':>8}{'J':>8}{'F':>8}"]
    for name, when, figures in rows:
        cells = "".join(f"{'-' if figures[key] is None else format(figures[key], '.3f'):>8}" for key in FIGURES)
        lines.append(f"{name:<{width}}  {when:<{column}}{cells}")
    return "\n".join(lines)


def _brief(module: VOSModule) -> dict[str, Any]:
    return {} if module.result is None else module.result.brief()
