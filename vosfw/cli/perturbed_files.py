"""``robustness.write``: the perturbed sets of the benchmark as files."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

from vosfw.cli.launch import check_writable
from vosfw.config import instantiate, to_container
from vosfw.data.export import check_format, claim, write_perturbed
from vosfw.data.perturbation.base import Perturbation


def write(config: DictConfig, nodes: Mapping[str, DictConfig], sets: Mapping[str, Perturbation]) -> None:
    """Write every perturbed set to ``robustness.write``, in the layout of the data set.

    Raises:
        OutputError: If a folder cannot be written, or holds other files.
        ConfigError: If the frames of a perturbation fit no file.
    """
    target, suffix = Path(config.robustness.write).expanduser(), config.robustness.format
    check_writable(target)
    videos = instantiate(config.data).dataset("test")
    root = None if config.data.get("root") is None else Path(config.data.root)
    source = json.dumps({key: value for key, value in to_container(config.data).items() if key in ("test", "root")})
    notes = {}
    for name, perturbation in sets.items():
        recipe = json.dumps(to_container(nodes[name]))
        notes[name] = {"data": source, "perturbation": recipe, "format": suffix}
        check_format(perturbation, suffix)
        claim(target / name, notes[name], resume=config.resume)
    with tqdm(total=sum(videos.lengths) * len(sets), unit="frame", disable=config.quiet) as bar:
        for name, perturbation in sets.items():
            bar.set_description(name)
            written = write_perturbed(
                videos, perturbation, target / name, root=root, suffix=suffix, about=notes[name], resume=config.resume
            )
            for frames in written:
                bar.update(frames)
    if not config.quiet:
        sys.stdout.write(f"written: {', '.join(str(target / name) for name in sets)}\n")
