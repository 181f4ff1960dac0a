"""``vosfw evaluate`` and ``evaluate.py``: score a network on a data set and write its masks."""

import json
import logging
import resource
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from vosfw.cli.launch import launch, report
from vosfw.cli.stored import with_checkpoint
from vosfw.cli.train import build_trainer, compile_options, composition, quiet
from vosfw.composition import check_composition
from vosfw.config import (
    instantiate,
    instantiate_model,
    to_container,
)
from vosfw.contract import check_parts
from vosfw.data.dataset import VideoDataset
from vosfw.data.files import replacing
from vosfw.engine.engine import Engine
from vosfw.engine.interference import NoInterference, Scene
from vosfw.errors import VosfwError
from vosfw.hub import load, load_weights, read_checkpoint
from vosfw.interfaces import Segmenter
from vosfw.job import checksum
from vosfw.ledger import Ledger
from vosfw.metrics import JAndFResult, to_csv, to_text
from vosfw.module import VOSModule

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate from the command line; the arguments are Hydra's. Returns the exit code."""
    try:
        arguments = with_checkpoint(list(sys.argv[1:] if arguments is None else arguments))
    except VosfwError as error:
        return report(error, 1)
    return launch(evaluate, "evaluate", arguments, __file__)


def evaluate(config: DictConfig, watchers: Sequence[pl.Callback] = ()) -> float | None:
    """Evaluate by a composed configuration whose ``run_dir`` is set; returns J&F, for sweeps.

    Args:
        config: As evaluate.yaml has it; with ``robustness`` the whole benchmark is run.
        watchers: Further callbacks.

    Raises:
        ConfigError: If an option has an illegal value.
        CheckpointError: If the checkpoint cannot be read or belongs to another composition than ``model=``.
        DatasetError: If a video, frame or mask is missing or damaged.
        OutputError: If masks or results cannot be written.
    """
    quiet()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    if config.robustness is not None:
        from vosfw.cli.robustness import benchmark  # which needs this module

        return benchmark(config)
    segmenter, name = build_segmenter(config)
    warning = untrained(config, segmenter, name)
    if warning and not config.quiet:
        logger.warning(warning)
    engine, datamodule = instantiate(config.engine), instantiate(config.data)
    prepare(engine, segmenter, datamodule.dataset("test"), trust_targets=config.trust_targets)
    module = VOSModule(
        segmenter,
        engine,
        metrics=instantiate(config.metrics),
        compile=compile_options(config),
    )
    trainer = build_trainer(config, progress=not config.quiet, watchers=watchers)
    module.ledger = ledger = Ledger(Path(config.run_dir), about(config, segmenter), resume=config.resume)
    done = ledger.done
    module.restored, datamodule.done = tuple(done.values()), tuple(done)
    if done:
        logger.info("resumed: %d videos were done", len(done))
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    trainer.test(module, datamodule=datamodule, verbose=False)
    if trainer.is_global_zero and module.result is not None:
        parameters = sum(weight.numel() for weight in segmenter.parameters())
        table = publish(config, name, module.result, float(trainer.callback_metrics["perf/fps"]), parameters)
        if not config.quiet:
            sys.stdout.write("\n".join(["", table, warning]))
        ledger.finish()
    return None if module.result is None else module.result.j_and_f


def about(config: DictConfig, segmenter: Segmenter[Any]) -> dict[str, str]:
    """What makes two evaluations the same."""
    groups = {name: json.dumps(to_container(config[name]), sort_keys=True) for name in ("engine", "data", "metrics")}
    source = Path(config.engine.interference.get("source") or "")
    if source.is_file():
        groups["source"] = str(zlib.crc32(source.read_bytes()))
    options = json.dumps(to_container(config.model), sort_keys=True)
    return {"model": str(checksum(segmenter)), "options": options, **groups}


def prepare(engine: Engine, segmenter: Segmenter[Any], videos: VideoDataset, *, trust_targets: bool) -> None:
    """Load the network that the engine's interference works with, and look through the videos, before work starts.

    Raises:
        VosfwError: If it cannot be done with one of them.
    """
    interference = engine.interference
    if isinstance(interference.source, str):
        interference.source = load(interference.source, trust_targets=trust_targets)
    if not isinstance(interference, NoInterference):
        for index in range(len(videos)):
            interference.check(Scene(engine, segmenter, videos.video(index), "cpu"))


def build_segmenter(config: DictConfig) -> tuple[Segmenter[Any], str]:
    """The network of the configuration with the weights of ``ckpt_path``, and the composition's name.

    Raises:
        CheckpointError: If they do not belong together.
    """
    check_parts(config.model)
    segmenter = instantiate_model(config.model, trust_targets=True)
    own = composition(config)
    if config.ckpt_path is None:
        return segmenter, own["name"]
    stored = read_checkpoint(Path(config.ckpt_path))
    changed = check_composition(own, stored._asdict(), config.ckpt_path, parts_only=True)
    if changed:
        logger.info("the checkpoint's network with other options: %s", "; ".join(changed))
    load_weights(segmenter, stored)
    return segmenter, stored.name


def untrained(config: DictConfig, segmenter: Segmenter[Any], name: str) -> str:
    """A warning, if the network has weights and they are random."""
    if config.ckpt_path is not None or not any(True for _ in segmenter.parameters()):
        return ""
    return f"UNTRAINED: no ckpt_path was given, so {name} is evaluated with random weights"


def publish(config: DictConfig, name: str, result: JAndFResult, fps: float, parameters: int) -> str:
    """Write the results to the run's folder; returns what to show of them.

    Raises:
        OutputError: If a file cannot be written.
    """
    folder = Path(config.run_dir)
    device, memory = peak_memory()
    extra: dict[str, Any] = {"fps": fps, f"peak_{device}_memory_mib": memory, "parameters": parameters}
    extra |= {"checkpoint": config.ckpt_path, "model": name}
    text = json.dumps({**result.to_json(), **extra}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for name, content in (("results.json", text), ("results.csv", to_csv(result))):
        with replacing(folder / name) as draft:
            draft.write_text(content)
    return (
        f"{to_text(result, objects=False)}\n{fps:.1f} frames per second, peak memory {memory:.0f} MiB ({device})\n"
        f"results and masks: {folder}"
    )


def peak_memory() -> tuple[str, float]:
    """Most memory this process has used, in MiB: of the GPU if there is one, else resident."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0:
        return "gpu", torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return "cpu", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    sys.exit(main())
