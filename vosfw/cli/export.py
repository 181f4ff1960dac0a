"""``vosfw export``: a checkpoint as one small file of weights and configuration."""

import argparse
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vosfw.errors import ConfigError
from vosfw.hub import load, read_checkpoint, save


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-command."""
    parser.add_argument("checkpoint", type=Path, help="checkpoint of a training, or a .safetensors file")
    parser.add_argument("out", type=Path, help="file to write, .safetensors")
    parser.add_argument("--half", action="store_true", help="store weights as float16: half the size")
    parser.add_argument("--name", help="of the composition; its own if left out")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of engine or model to store, such as engine.short_side=320; may be repeated",
    )


def run(options: argparse.Namespace) -> int:
    """Write the file and try it."""
    stored = read_checkpoint(options.checkpoint)
    try:
        config = OmegaConf.create({"model": stored.model, "engine": stored.engine or {}})
        OmegaConf.set_struct(config, True)
        config.merge_with_dotlist(options.set)
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"--set {' '.join(options.set)}: {str(error).splitlines()[0]}") from error
    weights = {
        name: value.half() if options.half and value.is_floating_point() else value
        for name, value in stored.weights.items()
    }
    save(options.out, weights, options.name or stored.name, config.model, config.engine if stored.engine else None)
    model = load(options.out)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{options.out}: {count / 1e6:.2f} million parameters, {options.out.stat().st_size / 1e6:.1f} MB")
    return 0
