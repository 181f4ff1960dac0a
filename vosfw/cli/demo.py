"""``vosfw demo``: the whole road on generated videos, in a few minutes on a CPU."""

import argparse
import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

from vosfw.errors import VosfwError

LENGTH, SIZE, SIDE = 40, (192, 320), 96
"""Frames and size of the video that is shown, and the size at which it is segmented, as in training."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-command."""
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/demo"), help="folder for everything (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of data and training (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="training steps; about two minutes on two cores if left out")
    parser.add_argument("--train", action="append", default=[], metavar="KEY=VALUE", help="override for the training")


def run(options: argparse.Namespace) -> int:
    """Render, train, segment, score; print one table and where the pictures are."""
    from vosfw.cli.evaluate import main as evaluate
    from vosfw.cli.train import main as train

    out: Path = options.out
    started = time.perf_counter()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    print("1/4 rendering a test video", flush=True)
    video = _render(out, options.seed)

    print("2/4 training the demo composition on the synthetic training videos", flush=True)
    steps = [] if options.steps is None else [f"trainer.max_steps={options.steps}"]
    run_dir = out / "train"
    _call(train, [f"run_dir={run_dir}", f"seed={options.seed}", "logger=wandb", *steps, *options.train])
    checkpoint = run_dir / "checkpoints" / "best.ckpt"

    print("3/4 segmenting the test video", flush=True)
    picture, confidence = _show(out, video, checkpoint)

    print("4/4 scoring on the synthetic test videos", flush=True)
    rows = {
        "trained": [f"ckpt_path={checkpoint}"],
        "untrained": ["model=demo"],
        "copy the first mask": ["model=copy_first"],
    }
    results: dict[str, Any] = {}
    for name, overrides in rows.items():
        folder = out / "scores" / name.replace(" ", "_")
        _call(evaluate, [*overrides, f"run_dir={folder}", f"seed={options.seed}", "quiet=true"])
        results[name] = json.loads((folder / "results.json").read_text())
    table = [[name, *(f"{result[key]:.3f}" for key in ("j_and_f", "j", "f"))] for name, result in results.items()]
    _page(out, video, results, confidence)
    (out / "results.json").write_text(
        json.dumps({name: {key: result[key] for key in ("j_and_f", "j", "f")} for name, result in results.items()})
    )

    print(f"\n{'on ' + str(len(results['trained']['sequences'])) + ' unseen videos':<22}{'J&F':>8}{'J':>8}{'F':>8}")
    for name, *cells in table:
        print(f"{name:<22}" + "".join(f"{cell:>8}" for cell in cells))
    print(
        f"\npicture  {picture}\nvideo    {out / 'overlay.mp4'}\npage     {out / 'index.html'}  (open it in a browser)"
    )
    print(f"run      {run_dir}  (W&B, offline)\n{time.perf_counter() - started:.0f} seconds in all")
    return 0


def _call(main: Any, arguments: list[str]) -> None:
    if code := main(arguments):
        raise VosfwError(f"a step of the demo ended with exit code {code}; its message is above")


def _render(out: Path, seed: int) -> Any:
    """The video as mp4, with its first masks as PNG."""
    from vosfw.data.io import write_mask, write_video
    from vosfw.data.synthetic import SyntheticDataset

    dataset = SyntheticDataset("test", videos=1, length=LENGTH, size=SIZE, objects=(3, 3), seed=seed + 1000, late=0.5)
    video = dataset.video(0)
    with write_video(out / "video.mp4", 12.0, SIZE) as writer:
        for t in range(len(video)):
            writer.add(video.frame(t))
    for t in video.given:
        ids = video.given_mask(t)
        write_mask(out / "first_masks" / f"{video.frames[t]}.png", ids)
    return video


def _show(out: Path, video: Any, checkpoint: Path) -> tuple[Path, Any]:
    """Masks and overlay video of the trained network; a picture of frame, prediction, truth; confidence, T x K."""
    import torch
    from PIL import Image

    from vosfw.data.io import read_mask
    from vosfw.data.overlay import overlay
    from vosfw.hub import load
    from vosfw.segment import segment_video

    confidence = torch.full((len(video), len(video.ids)), math.nan)

    def watch(name: str, prediction: Any) -> None:
        for id_, value in prediction.confidence.items():
            confidence[prediction.index, id_ - 1] = value

    segment_video(
        load(checkpoint),
        out / "video.mp4",
        out / "first_masks",
        out / "masks",
        overlay=out / "overlay.mp4",
        short_side=SIDE,
        watch=watch,
        progress=True,
    )
    columns = []
    for t in torch.linspace(0, len(video) - 1, 6).long().tolist():
        frame, truth = video.frame(t), video.truth(t)
        predicted = read_mask(out / "masks" / f"{t:05d}.png")
        columns.append(torch.cat([frame, overlay(frame, predicted), overlay(frame, truth)], dim=1))
    picture = torch.cat(columns, dim=2).permute(1, 2, 0)
    Image.fromarray(picture.numpy()).save(out / "overlay.png")
    return out / "overlay.png", confidence


def _page(out: Path, video: Any, results: dict[str, Any], confidence: Any) -> None:
    import torch

    from vosfw.data.io import read_mask
    from vosfw.metrics.j_and_f import j_and_f
    from vosfw.report.page import write_page
    from vosfw.report.pictures import Size, error_layer, frame_picture, mask_layer
    from vosfw.report.sections import Column, Film, Films, Line, Plot, Table, Track, View

    span = range(len(video))
    predictions = [read_mask(out / "masks" / f"{t:05d}.png") for t in span]
    truths = [video.truth(t) for t in span]
    j, f = j_and_f(torch.stack(predictions), torch.stack(truths), len(video.ids))
    for slot, start in enumerate(video.introduced.values()):
        j[: start + 1, slot] = f[: start + 1, slot] = confidence[: start + 1, slot] = math.nan
    size = Size(*video.size)
    plots = [
        Plot(title, [Line(f"object {k + 1}", (100 * values[:, k]).tolist(), k) for k in range(len(video.ids))], 100.0)
        for title, values in (("J", j), ("F", f), ("confidence", confidence))
    ]
    views = [
        View("prediction", [mask_layer(labels, size) for labels in predictions]),
        View("error", [error_layer(*pair, size) for pair in zip(predictions, truths, strict=True)], "error"),
    ]
    film = Film(
        "The test video, frame by frame",
        "Confidence is the J that the network expects, without the truth.",
        video.frames,
        list(span),
        [frame_picture(video.frame(t), size) for t in span],
        [View("frame", []), View("truth", [mask_layer(labels, size) for labels in truths])],
        [Track("", views, plots)],
        len(span) // 2,
    )
    heads = [Column("on the synthetic test videos"), *(Column(head, 1, "high") for head in ("J&F", "J", "F"))]
    rows = [[name, *(100 * result[key] for key in ("j_and_f", "j", "f"))] for name, result in results.items()]
    write_page(
        out / "index.html",
        "vosfw demo",
        "A small network, trained for two minutes on generated videos, follows objects whose textures and shapes it "
        "has never seen. Only their first masks were given.",
        [Table("Scores", heads, rows, "In percent."), Films("The test video", "", [film])],
    )
