"""``python -m vosfw.convert SYSTEM in.pth out.safetensors [OVERRIDE ...]``."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from vosfw.config import compose, instantiate, instantiate_model
from vosfw.convert import deeplab, matching, pcvos, stcn, stm
from vosfw.convert.table import Conversion, Rule, convert, read_official
from vosfw.errors import OutputError, VosfwError
from vosfw.hub import save

SYSTEMS: dict[str, tuple[Rule, ...]] = {
    "aoc_released": matching.AOC_RULES,
    "cfbi": matching.RULES,
    "pcvos": pcvos.RULES,
    "rpcm": matching.RULES,
    "stcn": stcn.RULES,
    "stm": stm.RULES,
    "stm_original": stm.ORIGINAL_RULES,
    "stm_r18": stm.RULES,
}
"""Key table of each composition whose authors publish weights."""
ENCODERS: dict[str, tuple[str, tuple[Rule, ...]]] = {"deeplab": ("deeplab_r101", deeplab.CHECKPOINT_RULES)}
"""Choice under ``model/encoder`` and key table of the encoders that networks start from."""


def convert_file(system: str, source: Path, target: Path, overrides: Sequence[str] = ()) -> Conversion:
    """Convert an official checkpoint into a file that ``vosfw.load`` takes, or train.py as ``encoder_weights``.

    Args:
        system: Name of the composition, a key of ``SYSTEMS``, or of an encoder, a key of ``ENCODERS``.
        source: The authors' file.
        target: A ``.safetensors`` file to be written.
        overrides: Options of the composition, such as ``model.memory.max_frames=null``.

    Raises:
        CheckpointError: If the file cannot be read or does not fit.
        ConfigError: If an override is unknown.
        OutputError: If the result cannot be written.
    """
    if target.suffix != ".safetensors":
        raise OutputError(f"cannot write {target}; wanted a name that ends in .safetensors")
    if not target.absolute().parent.is_dir():
        raise OutputError(f"cannot write {target}: there is no folder {target.absolute().parent}; create it first")
    official = read_official(source)
    if system in ENCODERS:
        choice, rules = ENCODERS[system]
        model, engine = compose(overrides, config_name=f"model/encoder/{choice}").model, None
        wanted: dict[str, Tensor] = {f"encoder.{k}": v for k, v in instantiate(model.encoder).state_dict().items()}
    else:
        rules, config = SYSTEMS[system], compose([f"model={system}", *overrides])
        model, engine = config.model, config.engine
        wanted = instantiate_model(model).state_dict()
    conversion = convert(official, rules, wanted)
    try:
        save(target, conversion.weights, system, model, engine)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"cannot write {target}: {error}") from error
    return conversion


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert, and say what became of every tensor; the exit code is 0, or 1 for an error with its cure."""
    parser = argparse.ArgumentParser(prog="python -m vosfw.convert", description="Import an official checkpoint.")
    parser.add_argument("system", choices=sorted({*SYSTEMS, *ENCODERS}), help="whose checkpoint it is")
    parser.add_argument("source", type=Path, help="the authors' file, such as stcn.pth")
    parser.add_argument("target", type=Path, help="the .safetensors file to write")
    parser.add_argument("overrides", nargs="*", help="options of the composition, such as model.memory.top_k=50")
    options = parser.parse_args(arguments)
    try:
        conversion = convert_file(options.system, options.source, options.target, options.overrides)
    except VosfwError as error:
        print(f"vosfw.convert: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    for key, name in conversion.used.items():
        print(f"{key} -> {name}")
    for key, reason in conversion.dropped.items():
        print(f"{key} dropped: {reason}")
    reasons = "".join(f", {count} dropped ({why})" for why, count in Counter(conversion.dropped.values()).items())
    print(f"{len(conversion.used)} tensors used{reasons}, {len(conversion.weights)} of {options.system} filled")
    print(f"written to {options.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
