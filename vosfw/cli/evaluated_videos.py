"""The videos that a run was evaluated on, built again from what it recorded, with the masks that it wrote."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from jaxtyping import Float32, UInt8
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import Image
from torch import Tensor

from vosfw.cli.evaluated import Evaluation
from vosfw.cli.sweep import hydra_yaml, parsed
from vosfw.cli.tests import changed
from vosfw.config import check_targets, choose, instantiate, to_container
from vosfw.data.dataset import VideoDataset
from vosfw.data.io import read_mask
from vosfw.data.video import Video, slot_labels
from vosfw.errors import CheckpointError, ConfigError, DatasetError
from vosfw.types import VOID

MASKS, ENTROPY = "masks", "entropy"
"""Folders in that of an evaluation."""
NEEDED = ("_target_", "test", "perturbation")
"""Of a data configuration; samplers and augmentation are for training."""


class Shot(NamedTuple):
    """One frame of an evaluated video; labels are slot + 1."""

    frame: UInt8[Tensor, "3 Y X"] | Float32[Tensor, "3 Y X"]
    truth: UInt8[Tensor, "Y X"] | None
    predicted: UInt8[Tensor, "Y X"] | None
    entropy: UInt8[np.ndarray, "Y X"] | None


class EvaluatedVideos:
    """Frames, truths and predictions of an evaluation, read when asked for.

    Args:
        evaluation: Of a folder.
        overrides: Such as ``data.root=…``, where a data set has moved; those that it does not have are left out.
        trust_targets: Let the recorded configuration build any class, not only those of ``vosfw.data``.

    Raises:
        DatasetError: If there are no masks, or the data set is not found.
        ConfigError: If the data set cannot be built.
    """

    def __init__(self, evaluation: Evaluation, overrides: Sequence[str] = (), trust_targets: bool = False) -> None:
        self.evaluation = evaluation
        self.masks = evaluation.folder / MASKS
        self.joined = evaluation.run.results.get("protocol") == "davis16"
        if not any(self.masks.glob("*/*.png")):
            raise DatasetError(
                f"there are no masks in '{self.masks}'; evaluate.py writes them, tests at the end of a training do not"
            )
        self.config = data_config(evaluation, overrides)
        if not trust_targets:
            try:
                check_targets(self.config, ("vosfw.data.",), object)
            except CheckpointError as error:
                text = str(error).partition(" If you trust")[0]
                raise ConfigError(f"{text} If you trust the run's author, add --trust-targets.") from error
        module = instantiate(OmegaConf.create(self.config))
        self.dataset: VideoDataset = module.dataset("test")
        self.numbers = {name: index for index, name in enumerate(self.dataset.videos)}

    @cached_property
    def has_entropy(self) -> bool:
        """Whether the run wrote how unsure it was."""
        return any((self.evaluation.folder / ENTROPY).glob("*/*.png"))

    def video(self, name: str) -> Video:
        """A video of the run.

        Raises:
            DatasetError: If the data set does not have it, or other frames.
        """
        if name not in self.numbers:
            raise DatasetError(
                f"'{name}' is not in the data set as it is now. Name its place with --set data.root=DIR."
            )
        video = self.dataset.video(self.numbers[name])
        scored = self.evaluation.run.results["sequences"].get(name, {}).get("frames", ())
        if odd := sorted(set(scored) - set(video.frames)):
            raise DatasetError(f"'{name}' has no frame '{odd[0]}' in the data set as it is now, but it was scored.")
        return video

    def slot(self, video: Video, object_: str) -> int:
        """Place of an object, by its name in the results, from 0."""
        return 0 if self.joined else video.ids.index(int(object_))

    def shot(self, video: Video, index: int) -> Shot:
        """A frame with its truth and what was predicted.

        Raises:
            DatasetError: If a file of the data set, or a mask, is damaged.
        """
        name = f"{video.frames[index]}.png"
        path = self.masks / video.name / name
        truth, predicted = video.truth(index), None
        if path.is_file():
            predicted = slot_labels(read_mask(path, video.size), video.ids)
        if self.joined:
            truth, predicted = (
                None if x is None else x.clamp(max=1).masked_fill(x == VOID, VOID) for x in (truth, predicted)
            )
        return Shot(video.frame(index), truth, predicted, self._entropy(video, name))

    def _entropy(self, video: Video, name: str) -> UInt8[np.ndarray, "Y X"] | None:
        path = self.evaluation.folder / ENTROPY / video.name / name
        if not path.is_file():
            return None
        try:
            with Image.open(path) as image:
                return np.array(image.convert("L"))
        except (OSError, SyntaxError, ValueError) as error:
            raise DatasetError(f"'{path}' cannot be decoded ({error}). Repeat the evaluation.") from error


def data_config(evaluation: Evaluation, overrides: Sequence[str]) -> dict[str, Any]:
    """What the test videos of an evaluation were built from, with changes.

    Raises:
        DatasetError: If the run did not record it.
        ConfigError: If it cannot be resolved.
    """
    folder = Path(evaluation.run.where) / ".hydra"
    try:
        config = OmegaConf.load(folder / "config.yaml")
        assert isinstance(config, DictConfig)
        root = OmegaConf.select(config, "data.root")
        start = hydra_yaml(folder / "hydra.yaml").get("runtime", {}).get("cwd", "")
        if isinstance(root, str) and not Path(root).exists() and Path(start, root).exists():
            OmegaConf.update(config, "data.root", str(Path(start, root)))
        for key, text in parsed(overrides).items():
            if OmegaConf.select(config, key, default=config) is not config:
                OmegaConf.update(config, key, yaml.safe_load(text))
        plain = OmegaConf.create(to_container(config.data))
        data = changed("data", plain, evaluation.run.changes.get("data") or {})
        if evaluation.robustness:
            data.perturbation = choose("data/perturbation", "none")
        content = to_container(data)
    except (OSError, yaml.YAMLError, OmegaConfBaseException, AssertionError) as error:
        raise DatasetError(f"'{folder / 'config.yaml'}' does not tell the data set: {error}") from error
    return {key: content[key] for key in NEEDED if content.get(key) is not None}


def check_overrides(overrides: Sequence[str], evaluations: Sequence[Evaluation]) -> None:
    """Refuse changes that no run has a use for.

    Raises:
        ConfigError: Naming the first.
    """
    for override in overrides:
        key, found, _ = override.partition("=")
        if not found or not key.startswith("data."):
            raise ConfigError(f"--set {override}: wanted data.NAME=VALUE, such as data.root=DIR")
        if not any(_has(each.run.config, key) for each in evaluations):
            raise ConfigError(f"--set {override}: no run has an option {key}")


def _has(config: Mapping[str, Any], key: str) -> bool:
    found: Any = config
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return False
        found = found[part]
    return True
