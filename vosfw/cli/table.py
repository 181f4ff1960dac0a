"""``vosfw table``: the runs of a sweep as one table."""

import argparse
from pathlib import Path

from vosfw.cli.sweep import tabulate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-command."""
    parser.add_argument("folder", type=Path, help="of a sweep (train.py -m, evaluate.py -m), or one above several")
    parser.add_argument(
        "--by", nargs="+", default=[], metavar="KEY", help="one row per choice of these; all but seed if left out"
    )


def run(options: argparse.Namespace) -> int:
    """Write table.md and table.csv into the folder, and print the table."""
    print(tabulate(options.folder, options.by), end="")
    print(f"written: {options.folder / 'table.md'}, {options.folder / 'table.csv'}")
    return 0
