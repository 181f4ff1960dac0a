"""``vosfw import``: annotations of other tools as a folder of videos and masks."""

import argparse
from pathlib import Path

from tqdm import tqdm

from vosfw.data.import_mask import Counts
from vosfw.data.importing import import_annotations

NOTES = 20
"""Notes that are printed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-command."""
    parser.add_argument(
        "source",
        type=Path,
        help="JSON of COCO, YouTube-VIS or Label Studio, XML of CVAT, or a JSON or folder of labelme",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for frames and masks")
    parser.add_argument(
        "--frames", type=Path, metavar="DIR|VIDEO", help="where the frames are; beside the annotations if left out"
    )
    parser.add_argument(
        "--video", metavar="NAME", help="all frames are of one video of this name; else a video for each folder"
    )
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted import into --out was")
    parser.add_argument("--force", action="store_true", help="replace an earlier import in --out")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    """Import and say what was written and what not."""
    with tqdm(desc="import", unit="frame", disable=options.quiet) as bar:

        def watch(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        counts = import_annotations(
            options.source,
            options.out,
            options.frames,
            options.video,
            resume=options.resume,
            force=options.force,
            watch=watch,
        )
    print(told(counts, options.out))
    return 0


def told(counts: Counts, out: Path) -> str:
    """The counts as text."""
    shapes = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.shapes.items())) or "no shapes"
    lines = [
        f"{counts.format}: {counts.videos} videos, {counts.frames} frames, {counts.masks} masks, "
        f"{counts.objects} objects from {shapes}, in {out}"
    ]
    if counts.overlapping:
        lines.append(f"overlap: {counts.overlapping} pixels belong to several objects; the later one got them")
    if counts.shapes["boxes"]:
        lines.append(f"boxes: {counts.shapes['boxes']} were filled; a box is no outline")
    lines += [f"left out: {count} x {reason}" for reason, count in sorted(counts.left_out.items())]
    lines += [f"note  {text}" for text in counts.notes[:NOTES]]
    if len(counts.notes) > NOTES:
        lines.append(f"... and {len(counts.notes) - NOTES} more notes (vosfw check SOURCE)")
    if counts.masks < counts.frames:
        lines.append(f"{counts.frames - counts.masks} frames are without a mask")
    return "\n".join(lines)
