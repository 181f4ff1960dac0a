"""``vosfw annotate``: a local page to draw masks, propagate and correct them."""

import argparse
import secrets
from pathlib import Path

from vosfw.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-command."""
    parser.add_argument(
        "video", type=Path, nargs="?", help="video file, or folder of frames; the page asks for a file if left out"
    )
    parser.add_argument("--out", type=Path, default=Path("annotated"), metavar="DIR", help="working folder (annotated)")
    parser.add_argument("--model", metavar="CKPT|NAME", help="checkpoint; the embedded network if left out")
    parser.add_argument(
        "--masks", type=Path, metavar="PNG|DIR", help="masks to start from, as vosfw segment takes them"
    )
    parser.add_argument("--size", type=int, metavar="PIXELS", help="shorter side of the network's input")
    parser.add_argument(
        "--set", action="append", default=[], metavar="OVERRIDE", help="option of the engine, as vosfw segment takes it"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; the GPU if there is one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen to (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=0, help="port to listen to (0: any that is free)")
    parser.add_argument(
        "--max-upload", type=int, default=500, metavar="MB", help="largest video that the page takes (500)"
    )


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    for name, value, least, most in (
        ("--port", options.port, 0, 65_535),
        ("--max-upload", options.max_upload, 1, 1_000_000),
        ("--size", options.size, 16, 16_384),
    ):
        if value is not None and not least <= value <= most:
            raise ConfigError(f"{name} is {value}; wanted {least} to {most}")
    if options.masks is not None and options.video is None:
        raise ConfigError("--masks belong to a video; name the video too")
    from vosfw.annotate.answers import Answers
    from vosfw.annotate.folder import UPLOAD, WorkFolder
    from vosfw.annotate.guard import is_loopback
    from vosfw.annotate.server import Server
    from vosfw.annotate.session import Options, Session
    from vosfw.annotate.video import ShownVideo
    from vosfw.hub import load

    name = UPLOAD if options.video is None else _name(options.video)
    video = None if options.video is None else ShownVideo(options.video)
    folder = WorkFolder(options.out, name)
    try:
        if video is None and folder.uploaded is not None:
            video = ShownVideo(folder.uploaded)
        print("loading the network", flush=True)
        model = load(options.model)
        if options.set:
            from vosfw.cli.stored import engine_of

            model.default_engine = engine_of(model, options.set)
        how = Options(model, options.size, options.device)
        session = None if video is None else Session(video, folder, how)
        if session is not None and options.masks is not None:
            session.load_masks(options.masks)
        answers = Answers(folder, how, session, options.max_upload * 1_000_000)
        with Server(options.host, options.port, secrets.token_urlsafe(24), answers) as server:
            if not is_loopback(options.host):
                print(
                    f"WARNING: {options.host} can be reached from other machines, and what goes over the line can be "
                    "read there. Only who has the whole address gets in. Safer: leave --host out and use an ssh tunnel."
                )
            print(f"Open  {server.url}")
            print(f"Masks are kept in {folder.out}; Ctrl-C ends, the same command goes on.", flush=True)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print("\nstopping")
            finally:
                if answers.session is not None:
                    answers.session.stop(wait=60)
    finally:
        folder.close()
    print(f"Everything that was drawn is in {folder.out}")
    return 0


def _name(video: Path) -> str:
    """Of the video in the data set; a folder's, or a file's without its ending."""
    path = video.resolve()
    name = path.name if path.is_dir() else path.stem
    if not name:
        raise ConfigError(f"'{video}' has no name; give a video file, or a folder of frames")
    return name
