"""``vosfw check``: what is in a folder of videos and masks, or in annotations, and what is wrong with it."""

import argparse
from pathlib import Path
from typing import get_args

from tqdm import tqdm

from vosfw.data.annotation_doctor import examine_annotations
from vosfw.data.annotation_files import is_annotations
from vosfw.data.doctor import Report, VideoReport, examine
from vosfw.data.places import Layout
from vosfw.errors import ConfigError

ROWS = 40
"""Videos of which a row is shown."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-command."""
    parser.add_argument("root", type=Path, help="folder of a data set, or annotations that vosfw import reads")
    parser.add_argument("--layout", choices=get_args(Layout), help="guessed if left out")
    parser.add_argument(
        "--frames", type=Path, metavar="DIR|VIDEO", help="where the frames of annotations are; beside them if left out"
    )
    parser.add_argument("--video", metavar="NAME", help="all frames of annotations are of one video of this name")
    parser.add_argument("--all", action="store_true", help=f"a row for every video, also of more than {ROWS}")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    """Examine folder or annotations and print what was found; 1 if there are errors."""
    with tqdm(desc="check", unit="file", disable=options.quiet) as bar:

        def watch(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        if options.layout is None and is_annotations(options.root):
            report = examine_annotations(options.root, options.frames, options.video, watch)
        elif options.frames is not None or options.video is not None:
            raise ConfigError(f"--frames and --video go with annotations; '{options.root}' is none. Leave them out.")
        else:
            report = examine(options.root, options.layout, watch)
    print(table(report, ROWS if not options.all else len(report.videos)))
    for problem in report.problems:
        print(f"{'ERROR' if problem.error else 'note '} {problem.path}: {problem.text}")
    notes = len(report.problems) - report.errors
    print(f"{report.errors} error{'s' * (report.errors != 1)}, {notes} note{'s' * (notes != 1)}")
    return int(report.errors > 0)


def table(report: Report, rows: int) -> str:
    """Videos with their frames, masks, objects, size and kind of mask, and the sum of all."""
    heads = ("video", "frames", "masks", "objects", "size", "masks are")
    cells = [_row(video) for video in report.videos[:rows]]
    if len(report.videos) > rows:
        cells.append((f"... and {len(report.videos) - rows} more (--all)", "", "", "", "", ""))
    sums = [str(sum(column)) for column in zip(*(video[1:4] for video in report.videos), strict=True)] or ["0"] * 3
    sizes, kinds = {video.size for video in report.videos}, {kind for video in report.videos for kind in video.kinds}
    said = f"{len(sizes)} sizes" if len(sizes) != 1 else _row(report.videos[0])[4]
    total = (f"{len(report.videos)} videos ({report.layout})", *sums, said, ", ".join(sorted(kinds)))
    lines = [heads, *cells, total]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    text = []
    for line in lines:
        padded = [
            cell.rjust(w) if 0 < i < 4 else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(padded).rstrip())
    rule = "-" * max(map(len, text))
    return "\n".join([text[0], rule, *text[1:-1], rule, text[-1]])


def _row(video: VideoReport) -> tuple[str, ...]:
    size = "?" if video.size is None else f"{video.size[0]}x{video.size[1]}"
    return (video.name, str(video.frames), str(video.masks), str(video.objects), size, ", ".join(video.kinds))
