"""``vosfw calibrate``: fit a network's confidence to the J it really has."""

import argparse
import inspect
from pathlib import Path

from vosfw.calibration import collect, fit, report
from vosfw.config import compose, instantiate
from vosfw.hub import EMBEDDED, build, read_checkpoint, save


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-command."""
    parser.add_argument("--model", type=Path, default=EMBEDDED, help="checkpoint; the embedded network if left out")
    parser.add_argument("--out", type=Path, help="where to write the calibrated network, .safetensors")
    parser.add_argument("--check", action="store_true", help="fit nothing, only tell how good the confidence is")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; the GPU if there is one")
    parser.add_argument(
        "data",
        nargs="*",
        metavar="KEY=VALUE",
        help="data as for train.py, such as data=davis data.root=DAVIS; the synthetic videos if left out",
    )


def run(options: argparse.Namespace) -> int:
    """Fit to the validation videos, try on the test videos."""
    data = instantiate(compose(options.data).data)
    stored = read_checkpoint(options.model)
    if not options.check:
        if "affinity_mass" in inspect.signature(type(build(stored))).parameters:
            stored = stored._replace(model={**stored.model, "affinity_mass": True})
        cases = list(collect(build(stored), data.dataset("val"), options.device))
        rule = fit(cases)
        part = {"_target_": f"{type(rule).__module__}.{type(rule).__qualname__}", **vars(rule)}
        stored = stored._replace(engine={**(stored.engine or {}), "confidence": part})
        weights = ", ".join(f"{name} {value}" for name, value in vars(rule).items())
        print(f"fitted to {len(cases)} masks of the validation videos: {weights}")
    print(report(list(collect(build(stored), data.dataset("test"), options.device))))
    if options.out is not None:
        save(options.out, stored.weights, stored.name, stored.model, stored.engine)
        print(f"written: {options.out}")
    return 0
