"""Tiny runs of the real commands: the demo network on generated videos of 32x48 pixels."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
NETWORK = ["model=demo", "model.key_dim=8"]
DATA = [
    "data.train.size=[32,48]",
    "data.train.videos=8",
    "data.train.length=6",
    "data.val.videos=1",
    "data.test.videos=3",
    "data.batch_size=2",
]
QUIET = ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "~callbacks.progress"]
SMALL_MATCHING = [
    "model/encoder=deeplab_r18",
    "+model.encoder.options.channels=[8,8,16,16]",
    "model.encoder.width=16",
    "model.encoder.low_width=8",
    "model.embedding_dim=16",
    "model.ensembler.out_channels=32",
    "model.ensembler.prehead=16",
    "model.decoder.width=32",
    "model.decoder.skip_width=16",
]
SMALL_STM = ["model=stm_r18", "model.key_dim=16", "model.value_dim=32", "model.decoder.width=16"]
SMALL_STCN = ["model.encoder.name=resnet18", "model.value_dim=64", "model.decoder.widths=[64,32,32]"]
SMALL_PCVOS = ["model=pcvos", *SMALL_STCN, "model.refiner.key_dim=16"]
WINDOWS = "windows=[2,4]"
SMALL_CFBI = ["model=cfbi", "model.ensembler.widths=[32,64,64]", f"model.matcher.{WINDOWS}", *SMALL_MATCHING]
SMALL_RPCM = ["model=rpcm", "model.ensembler.widths=[32,64]", f"model.matcher.{WINDOWS}", *SMALL_MATCHING]
SMALL_AOC = [
    "model=aoc",
    "model.ensembler.widths=[32,64]",
    "model.matcher.levels=[1,4,pixel]",
    f"model.matcher.pixel.{WINDOWS}",
    *SMALL_MATCHING,
]
SMALL_AOC_RELEASED = [
    "model=aoc_released",
    "model.ensembler.widths=[32,64]",
    f"model.matcher.matchers.pixel.{WINDOWS}",
    *SMALL_MATCHING,
]
TRAIN = [*NETWORK, *DATA, "trainer.log_every_n_steps=1", *QUIET, "logger=csv"]
EVALUATE = [*DATA, *QUIET]


def command(script: str, *overrides: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run ``train.py`` or ``evaluate.py`` as a user would, on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests"), **variables}
    for name in ("HYDRA_FULL_ERROR", "WANDB_API_KEY"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, str(ROOT / script), *overrides],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd=ROOT,
    )


def weights(run_dir: Path, name: str = "last") -> dict[str, Tensor]:
    """The network's weights in a run's checkpoint."""
    state = torch.load(run_dir / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
    return {key: value for key, value in state.items() if key.startswith("segmenter.")}


def curve(run_dir: Path, column: str = "train/loss", pattern: str = "csv/version_*/metrics.csv") -> dict[int, str]:
    """A logged value by step, as written; what a resumed run wrote replaces what came before."""
    found: dict[int, str] = {}
    for path in sorted(run_dir.glob(pattern)):
        with path.open() as file:
            found |= {int(row["step"]): row[column] for row in csv.DictReader(file) if row.get(column)}
    return found
