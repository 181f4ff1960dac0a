"""``vosfw report``: runs as one HTML page."""

import argparse
import sys
from datetime import datetime
from pathlib import Path

from vosfw import __version__
from vosfw.errors import ConfigError, DatasetError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-command."""
    parser.add_argument(
        "runs", nargs="+", help="folders of runs or sweeps, at any depth, offline W&B runs, or wandb:ENTITY/PROJECT"
    )
    parser.add_argument("--out", type=Path, help="folder for index.html; report in the first of the runs")
    parser.add_argument("--frames", type=int, default=12, help="worst frames of each run (default: %(default)s)")
    parser.add_argument(
        "--videos",
        default="2",
        metavar="N|NAME,…",
        help="videos to look through frame by frame: how many, the worst ones, or their names (default: %(default)s)",
    )
    parser.add_argument("--max-runs", type=int, default=6, help="runs that get pictures (default: %(default)s)")
    parser.add_argument("--width", type=int, default=480, help="of a picture, in pixels (default: %(default)s)")
    parser.add_argument("--max-mb", type=float, default=30.0, help="size of the page at most (default: %(default)s)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="data.KEY=VALUE",
        help="where the data set is now: data.root=DIR (may be repeated)",
    )
    parser.add_argument("--trust-targets", action="store_true", help="let the runs' configurations build any class")
    parser.add_argument("--wandb", metavar="PROJECT[/NAME]", help="also log tables and curves to W&B")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    from vosfw.cli.evaluated import evaluated, missing
    from vosfw.cli.evaluated_videos import check_overrides
    from vosfw.cli.launch import check_writable
    from vosfw.cli.report_frames import Wanted
    from vosfw.cli.report_pictures import pictures
    from vosfw.cli.report_robustness import robustness
    from vosfw.cli.report_tables import curves, remarks, sequences, summary
    from vosfw.cli.table import collect
    from vosfw.report.page import write_page
    from vosfw.report.sections import Notes, Section

    videos: int | list[str] = options.videos.split(",") if not options.videos.isdigit() else int(options.videos)
    if options.frames < 0 or options.max_runs < 0 or options.width < 16 or options.max_mb <= 0:
        raise ConfigError("wanted --frames and --max-runs from 0, --width from 16, --max-mb above 0")
    out = options.out or Path(options.runs[0], "report")
    if options.out is None and options.runs[0].startswith("wandb:"):
        raise ConfigError("the runs are in W&B: name a folder for the page with --out")
    check_writable(out)
    runs = collect(options.runs)
    found = evaluated(runs)
    gaps = missing(runs)
    if not found:
        raise DatasetError(f"No run with a score{': ' + '; '.join(gaps[:3]) if gaps else ''}. Name folders of runs.")
    check_overrides(options.set, found)
    notes = [*remarks(found), *gaps]
    numbers: list[Section] = [summary(found), *curves(found), *robustness(found), *sequences(found)]
    # What is left are the tables, whose size nothing limits.
    wanted = Wanted(options.frames, videos, options.width, int(0.95e6 * options.max_mb))
    shown = pictures(
        found,
        wanted,
        runs=options.max_runs,
        overrides=options.set,
        trust_targets=options.trust_targets,
        quiet=options.quiet,
    )
    sections = [numbers[0], *([Notes("Notes", notes)] if notes else []), *numbers[1:], *shown]
    title = found[0].name if len(found) == 1 else f"{len(found)} runs"
    when = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    size = write_page(out / "index.html", f"Report: {title}", f"Made on {when} by vosfw {__version__}.", sections)
    if options.wandb:
        from vosfw.cli.report_wandb import log

        log(options.wandb, out, numbers)
    for note in (*notes, *(line for section in shown if isinstance(section, Notes) for line in section.lines)):
        print(f"note: {note}", file=sys.stderr)
    print(f"written: {out / 'index.html'} ({size / 1e6:.1f} MB)")
    return 0
