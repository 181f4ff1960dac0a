"""``vosfw segment``: masks of a video, from masks of some frames."""

import argparse
from pathlib import Path

from vosfw.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-command."""
    parser.add_argument("video", type=Path, help="video file, or folder of frames")
    parser.add_argument(
        "--masks",
        type=Path,
        action="append",
        required=True,
        metavar="PNG|DIR",
        help="palette or greyscale-id PNG of one frame, or a folder of them named like their frames; may be repeated",
    )
    parser.add_argument(
        "--at",
        action="append",
        default=[],
        metavar="FRAME",
        help="number or name of the frame of each --masks PNG, in the same order; the first frame if left out",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the masks")
    parser.add_argument("--overlay", type=Path, metavar="MP4", help="video with the masks drawn over the frames")
    parser.add_argument("--model", metavar="CKPT|NAME", help="checkpoint; the embedded network if left out")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="shorter side of the network's input")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OVERRIDE",
        help="option of the engine, as evaluate.py takes it: engine.clip_length=10, engine.precision=bfloat16, "
        "engine/corrector=gradient; may be repeated",
    )
    parser.add_argument(
        "--both",
        action="store_true",
        help="propagate backwards in time too; between masks the nearer one counts more",
    )
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run into --out was")
    parser.add_argument(
        "--resize-masks", action="store_true", help="resize masks of another size than the video (nearest neighbour)"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; the GPU if there is one")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    """Segment and say what was written."""
    if options.size is not None and options.size < 16:
        raise ConfigError(f"--size is {options.size}; wanted the shorter side in pixels, from 16")
    if len(options.masks) == 1 and not options.at:
        masks: object = options.masks[0]
    elif len(options.at) == len(options.masks):
        masks = dict(zip(options.at, options.masks, strict=True))
        if len(masks) < len(options.at):
            raise ConfigError(f"--at names a frame twice: {', '.join(options.at)}. Put its objects into one mask.")
    else:
        raise ConfigError(
            f"{len(options.masks)} times --masks but {len(options.at)} times --at; wanted one --at per --masks PNG"
        )
    from vosfw.hub import load
    from vosfw.segment import segment_video

    model = load(options.model)
    if options.set:
        from vosfw.cli.stored import engine_of

        model.default_engine = engine_of(model, options.set)
    result = segment_video(
        model,
        options.video,
        masks,  # type: ignore[arg-type]
        options.out,
        overlay=options.overlay,
        short_side=options.size,
        device=options.device,
        both=options.both,
        resume=options.resume,
        resize_masks=options.resize_masks,
        progress=not options.quiet,
    )
    ids = ", ".join(map(str, result.ids))
    print(f"{result.frames} masks of objects {ids} in {result.out} ({result.fps:.1f} frames/s)")
    if result.skipped:
        print(f"{result.skipped} frames before the first mask were not segmented")
    if result.overlay is not None:
        print(f"overlay video: {result.overlay}")
    return 0
