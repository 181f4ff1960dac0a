"""Trainings that several sweeps share: whatever differs in its tests alone is trained once."""

import json
import shutil
from pathlib import Path

from omegaconf import DictConfig

from vosfw.cli.sweep import checksum
from vosfw.data.files import replacing

APART = ("reuse", "tests", "figure", "data.split", "data.test", "metrics")
"""Options that change no weight. The value that a training returns is by the metrics it was first run with."""


def kept(config: DictConfig) -> Path | None:
    """Where the last checkpoint of this training is kept, or is to be; None if ``reuse`` is off."""
    return None if config.reuse is None else Path(config.reuse) / checksum(config, APART)[:16] / "last.ckpt"


def keep(checkpoint: Path, place: Path, value: float | None) -> None:
    """Keep the last checkpoint of a finished training, and the value that it returned.

    Raises:
        OutputError: If that cannot be written.
    """
    with replacing(place.with_name("value.json")) as draft:
        draft.write_text(json.dumps(value) + "\n")
    with replacing(place) as draft:
        shutil.copyfile(checkpoint, draft)


def take(place: Path, checkpoint: Path) -> float | None:
    """Bring a kept checkpoint to where the training would have written it; returns what it returned.

    Raises:
        OutputError: If it cannot be written.
    """
    with replacing(checkpoint) as draft:
        shutil.copyfile(place, draft)
    value: float | None = json.loads(place.with_name("value.json").read_text())
    return value
