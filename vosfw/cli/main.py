"""The ``vosfw`` command; each sub-command is a thin call of the library."""

import argparse
import importlib
import keyword
import logging
import sys
from collections.abc import Sequence
from types import ModuleType

from vosfw import __version__
from vosfw.errors import VosfwError

COMMANDS = {
    "segment": "masks of a video or folder of frames, from masks of some frames",
    "annotate": "a local page to draw masks, propagate them and correct what came out",
    "score": "J and F of predicted masks against the truth",
    "check": "what is in a folder of videos and masks, or in annotations, and what is wrong with it",
    "import": "annotations of COCO, labelme, CVAT and Label Studio as a folder of videos and masks",
    "models": "the compositions and their papers",
    "train": "train a composition (the same as train.py)",
    "evaluate": "evaluate a checkpoint on a data set (the same as evaluate.py)",
    "table": "the runs of a sweep as one table",
    "report": "runs as one page: tables, curves over time, robustness, worst frames, videos frame by frame",
    "calibrate": "fit a network's confidence to the J it really has",
    "export": "a checkpoint as one small file of weights and configuration",
    "demo": "render, train, segment and score on generated videos, in a few minutes",
}
HYDRA = ("train", "evaluate")
"""Sub-commands that hand their arguments on to Hydra."""


def _module(name: str) -> ModuleType:
    """The module of a sub-command; one that is called like a word of Python ends in ``_``."""
    return importlib.import_module(f"vosfw.cli.{name}{'_' * keyword.iskeyword(name)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command; the exit code is 0, 1 for an error with its cure, 2 for wrong usage, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if arguments and arguments[0] in HYDRA:
            module = importlib.import_module(f"vosfw.cli.{arguments[0]}")
            return int(module.main(arguments[1:]))
        parser = argparse.ArgumentParser(prog="vosfw", description="Semi-supervised video object segmentation.")
        parser.add_argument("--version", action="version", version=f"vosfw {__version__}")
        commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
        for name, text in COMMANDS.items():
            command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
            # Only the module that is asked for is imported: torch takes seconds.
            if name not in HYDRA and arguments[:1] == [name]:
                _module(name).add_arguments(command)
        options = parser.parse_args(arguments)
        return int(_module(options.command).run(options))
    except VosfwError as error:
        print(f"vosfw: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        text = (
            "what was written so far is valid; segment --resume, import --resume and evaluate resume=true go on there"
        )
        print(f"vosfw: stopped; {text}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
