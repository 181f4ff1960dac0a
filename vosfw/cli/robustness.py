"""The robustness benchmark: a network on clean and on perturbed videos, in one go (``robustness`` in evaluate.yaml)."""

import json
import logging
import re
import sys
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig, open_dict
from tqdm import tqdm

from vosfw.analysis.perturbation import plot_robustness
from vosfw.cli.evaluate import about, build_segmenter, evaluate, untrained
from vosfw.cli.perturbed_files import write
from vosfw.config import choose, instantiate, to_container
from vosfw.data.files import replacing
from vosfw.errors import ConfigError
from vosfw.metrics.robustness import Robustness, object_scores, robustness
from vosfw.module import FrameCallback, FrameResult, VOSModule

logger = logging.getLogger(__name__)

CLEAN = "clean"
GROUP = "data/perturbation"
DONE = "evaluated.json"
"""In the folder of every set that is done: what was evaluated on what."""


def benchmark(config: DictConfig) -> float | None:
    """Evaluate on every set of ``config.robustness``; returns Q_p, or None if nothing could be scored.

    Each set leaves in ``tests/<name>`` what evaluate.py leaves of a run; ``robustness.md``, ``.csv``, ``.json`` and
    ``.png`` have the figures. With ``resume`` sets and videos that were done are not repeated.

    Raises:
        ConfigError: If a perturbation or severity is unknown, or the folder holds another evaluation.
    """
    nodes = perturbations(config)
    built = {name: instantiate(node) for name, node in nodes.items()}
    if config.robustness.write is not None:
        write(config, nodes, {name: each for name, each in built.items() if name != CLEAN})
        return None
    frames = sum(instantiate(config.data).dataset("test").lengths)
    leader = getattr(rank_zero_only, "rank", 0) == 0
    segmenter, model = build_segmenter(config)
    parts = {name: part(config, name, node) for name, node in nodes.items()}
    identities = {name: about(each, segmenter) for name, each in parts.items()}
    pending = [name for name, each in parts.items() if not done(Path(each.run_dir), identities[name], config.resume)]
    warning = untrained(config, segmenter, model)
    if warning and not config.quiet:
        logger.warning(warning)
    del segmenter
    with tqdm(total=frames * len(parts), unit="frame", disable=config.quiet or not leader) as bar:
        advance(bar, frames * (len(parts) - len(pending)))
        for name in pending:
            bar.set_description(name)
            evaluate(parts[name], [_Progress(bar)])
            if leader:
                with replacing(Path(parts[name].run_dir) / DONE) as draft:
                    draft.write_text(json.dumps(identities[name]))
    if not leader:
        return None
    results = {name: json.loads((Path(each.run_dir) / "results.json").read_text()) for name, each in parts.items()}
    return publish(config, results, nodes, warning)


def perturbations(config: DictConfig) -> dict[str, DictConfig]:
    """Configuration of the perturbation of every set, the clean one first.

    Raises:
        ConfigError: If a name or option is unknown or in doubt.
    """
    if not (config.data.get("perturbation") or {}).get("_target_", "NoPerturbation").endswith("NoPerturbation"):
        raise ConfigError("data.perturbation and robustness are both set; the benchmark goes through its own sets")
    wanted = to_container(config.robustness.sets)
    if not any(value is not None for value in wanted.values()):
        raise ConfigError("robustness.sets is empty; wanted a name and a perturbation at least")
    found = {CLEAN: choose(GROUP, "none")}
    for name, value in wanted.items():
        if value is None:
            continue
        if name == CLEAN or not re.fullmatch(r"[\w.+-]*\w[\w.+-]*", name):
            raise ConfigError(f"robustness.sets.{name}: wanted a name of letters, digits, _ and -, other than {CLEAN}")
        options = {"name": value} if isinstance(value, str) else value
        if config.robustness.severity is not None and isinstance(options, dict):
            options = {"severity": config.robustness.severity, **options}
        try:
            found[name] = choose(GROUP, options)
        except ConfigError as error:
            raise ConfigError(f"robustness.sets.{name}: {error}") from error
    return found


def part(config: DictConfig, name: str, perturbation: DictConfig) -> DictConfig:
    """The configuration of the evaluation on one set."""
    found = deepcopy(config)
    with open_dict(found):
        found.robustness = None
        found.data.perturbation = perturbation
        found.run_dir = str(Path(config.run_dir) / "tests" / name)
        found.resume = found.quiet = True
    return found


def done(folder: Path, identity: Mapping[str, str], resume: bool) -> bool:
    """Whether a set is done; without ``resume`` what is there is forgotten.

    Raises:
        ConfigError: If another evaluation was done there.
    """
    notes = (folder / DONE, folder / ".vosfw" / "about.json")
    if not resume:
        for note in notes:
            note.unlink(missing_ok=True)
    for note in notes:
        known = json.loads(note.read_text()) if note.is_file() else identity
        if other := [topic for topic in identity if known.get(topic) != identity[topic]]:
            raise ConfigError(
                f"'{folder}' holds an evaluation with other {', '.join(other)}. Repeat that run's options to go on "
                "with it, choose another run_dir, or set resume=false to start anew."
            )
    return notes[0].is_file() and (folder / "results.json").is_file()


def advance(bar: Any, frames: int) -> None:
    """Count frames that took no time, so that the rate stays true."""
    if bar.disable:
        return
    bar.initial += frames
    bar.n += frames
    bar.refresh()


class _Progress(FrameCallback):
    """Counts frames."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.ahead = 0

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        videos = data.dataset("test")
        lengths = dict(zip(videos.videos, videos.lengths, strict=True))
        advance(self.bar, sum(lengths[name] for name in data.done))

    def on_frame(self, trainer: pl.Trainer, module: VOSModule, result: FrameResult) -> None:
        self.ahead += 1
        self.bar.update()

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        # Frames that are not wanted were passed over.
        if batch is not None:
            self.bar.update(len(batch) - self.ahead)
        self.ahead = 0


def publish(
    config: DictConfig, results: Mapping[str, Any], nodes: Mapping[str, DictConfig], warning: str
) -> float | None:
    """Write table, CSV, JSON and plot to the run's folder, and show the table.

    Raises:
        OutputError: If a file cannot be written.
    """
    folder = Path(config.run_dir)
    if not any(each["sequences"] for each in results.values()):
        logger.info("no truth to score with; the masks of each set are in %s", folder / "tests")
        return None
    scores = {name: object_scores(each) for name, each in results.items()}
    options = {key: config.robustness[key] for key in ("samples", "level", "seed")}
    found: Robustness = robustness(scores.pop(CLEAN), scores, protocol=results[CLEAN]["protocol"], **options)
    about_run = {key: results[CLEAN][key] for key in ("model", "checkpoint", "protocol")}
    content = found.to_json() | about_run | {"perturbations": {name: to_container(nodes[name]) for name in scores}}
    texts = {"md": found.to_text(), "csv": found.to_csv(), "json": json.dumps(content, indent=2) + "\n"}
    for suffix, text in texts.items():
        with replacing(folder / f"robustness.{suffix}") as draft:
            draft.write_text(text, encoding="utf-8")
    plot_robustness(found, folder / "robustness.png", title=str(about_run["model"]))
    if not config.quiet:
        sys.stdout.write(f"\n{found.to_text()}{warning}\nresults, masks and plot: {folder}\n")
    return found.mean.value
