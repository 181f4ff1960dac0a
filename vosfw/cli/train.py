"""``vosfw train`` and ``train.py``: train a composition."""

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from vosfw.cli.before_after import BeforeAfter
from vosfw.cli.launch import launch, report
from vosfw.cli.reuse import keep, kept, take
from vosfw.cli.start import resume_path, start_path, with_start
from vosfw.cli.stored import STORED
from vosfw.cli.tracking import code_version, log_tests, prepare_wandb, started_with, tracked
from vosfw.composition import check_composition
from vosfw.config import instantiate, to_container
from vosfw.contract import check_loss, check_parts
from vosfw.errors import ConfigError, VosfwError
from vosfw.hub import load_encoder, load_weights, read_checkpoint
from vosfw.interfaces import Segmenter
from vosfw.module import VOSModule

logger = logging.getLogger(__name__)

CORES = torch.get_num_threads()
"""Threads that torch would use by itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train from the command line; the arguments are Hydra's. Returns the exit code."""
    try:
        arguments = with_start(list(sys.argv[1:] if arguments is None else arguments))
    except VosfwError as error:
        return report(error, 1)
    return launch(train, "train", arguments, __file__)


def train(config: DictConfig) -> float | None:
    """Train by a composed configuration whose ``run_dir`` is set; returns the best J&F of validation, for sweeps.

    Raises:
        ConfigError: If an option has an illegal value.
        CheckpointError: If there is nothing to resume or start from, or it belongs to another composition.
    """
    from vosfw.cli.tests import check_tests, run_tests  # which needs this module

    place, last = kept(config), Path(config.run_dir) / "checkpoints" / "last.ckpt"
    if place is not None and place.is_file():
        logger.info("trained before, not repeated: %s", place)
        check_tests(config, 1)
        score = take(place, last)
        run_tests(config, last)
        return score
    if config.weights is not None and config.encoder_weights is not None:
        raise ConfigError("weights and encoder_weights are both given; weights fills the encoder too: choose one")
    quiet()
    set_threads(config)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    checkpoint, start = resume_path(config), start_path(config)
    source = checkpoint or start
    stored = None if source is None else read_checkpoint(source)
    own = composition(config)
    if stored is not None and own["name"] == STORED:
        own["name"] = stored.name
    if stored is not None and checkpoint is None and config.start == "weights":
        changed = check_composition(own, stored._asdict(), str(source), parts_only=True)
        if changed:
            logger.info("the checkpoint's network with other options: %s", "; ".join(changed))
    model = config.model if stored is None else OmegaConf.create(without_downloads(to_container(config.model)))
    check_parts(model)
    check_loss(config.loss)
    segmenter: Segmenter[Any] = instantiate(model)
    if stored is not None and checkpoint is None:
        load_weights(segmenter, stored)
    if config.encoder_weights is not None and checkpoint is None:
        load_encoder(segmenter, read_checkpoint(Path(config.encoder_weights)), to_container(config.model))
    module = VOSModule(
        segmenter,
        instantiate(config.engine),
        instantiate(config.train_engine),
        instantiate(config.loss),
        instantiate(config.optimizer),
        instantiate(config.scheduler),
        instantiate(config.metrics),
        own,
        compile_options(config),
        config.no_decay,
        to_container(config.layer_lr or {}),
        config.freeze,
        frozen_statistics=config.frozen_statistics,
    )
    if stored is not None and checkpoint is not None:
        check_composition(module.composition, stored._asdict(), str(checkpoint))
    datamodule = instantiate(config.data)
    prepare_wandb(config)
    trainer = build_trainer(config, instantiate(config.logger))
    if config.tests:
        check_tests(config, trainer.world_size)
    compared = BeforeAfter(config, trainer, module, datamodule)
    for log in trainer.loggers:
        log.log_hyperparams({**to_container(config), "code": code_version(), **started_with()})
    with tracked(trainer):
        try:
            compared.before(resumed=checkpoint is not None)
            trainer.fit(module, datamodule=datamodule, ckpt_path=None if checkpoint is None else str(checkpoint))
            compared.after()
        except MisconfigurationException as error:
            raise ConfigError(f"the trainer refuses its options: {error}") from error
        score = summarize(trainer, Path(config.run_dir))
        if place is not None and last.is_file() and not trainer.interrupted and trainer.is_global_zero:
            keep(last, place, score)
        if config.tests and not trainer.interrupted:
            run_tests(config, last)
            log_tests(trainer, Path(config.run_dir))
    return score


def build_trainer(
    config: DictConfig, run_logger: Any = None, *, progress: bool = True, watchers: Sequence[pl.Callback] = ()
) -> pl.Trainer:
    """The trainer with the configured callbacks and further ones; without a progress bar if ``progress`` is False.

    Raises:
        ConfigError: If Lightning refuses an option.
    """
    parts = {
        name: part for name, part in config.callbacks.items() if part is not None and (progress or name != "progress")
    }
    callbacks = [*(instantiate(part) for part in parts.values()), *watchers]
    options: dict[str, Any] = {} if run_logger is None else {"logger": run_logger}
    if not progress:
        options["enable_progress_bar"] = False
    try:
        trainer: pl.Trainer = instantiate(config.trainer)(callbacks=callbacks, **options)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise ConfigError(f"the trainer refuses its options: {error}") from error
    return trainer


def composition(config: DictConfig) -> dict[str, Any]:
    """What a checkpoint says of its network: plain containers from which ``vosfw.load`` rebuilds it."""
    from hydra.core.hydra_config import HydraConfig

    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    name = choices.get("model") or to_container(config.model)["_target_"].rpartition(".")[2]
    model = without_downloads(to_container(config.model))
    return {"version": 1, "name": name, "model": model, "engine": to_container(config.engine)}


def without_downloads(model: Any) -> Any:
    """A model configuration whose parts fetch no pretrained weights, since a checkpoint holds all of them."""
    if isinstance(model, dict):
        return {key: False if key == "pretrained" else without_downloads(value) for key, value in model.items()}
    return [without_downloads(value) for value in model] if isinstance(model, list) else model


def compile_options(config: DictConfig) -> dict[str, Any] | None:
    """Arguments of ``torch.compile``, or None if it is off."""
    options = to_container(config.compile)
    return options if options.pop("enabled") else None


def set_threads(config: DictConfig) -> None:
    """Give torch the cores that data workers leave free; with two busy threads on a core both crawl."""
    threads, workers = config.threads, config.data.get("num_workers") or 0
    if threads is None and workers and "OMP_NUM_THREADS" not in os.environ:
        threads = max(CORES - workers, 1)
    if threads is not None:
        torch.set_num_threads(threads)


def quiet() -> None:
    """Silence what Lightning says on every start and no user can act on."""
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
    # The scores are gathered before they are logged.
    warnings.filterwarnings("ignore", message=".*It is recommended to use `self.log.*")
    for name in ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)


def summarize(trainer: pl.Trainer, run_dir: Path) -> float | None:
    """Say where the results are; returns the best score."""
    best = next((c for c in trainer.checkpoint_callbacks if getattr(c, "monitor", None) is not None), None)
    score = getattr(best, "best_model_score", None)
    if trainer.is_global_zero:
        where = getattr(best, "best_model_path", "") or run_dir
        logger.info(
            "trained %d steps; best %s", trainer.global_step, where if score is None else f"J&F {score:.3f}: {where}"
        )
    return None if score is None else float(score)


if __name__ == "__main__":
    sys.exit(main())
