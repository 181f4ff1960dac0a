"""How many training clips a second come out of the loader, and where the time of a clip goes.

python tests/benchmark/bench_loader.py [--root DAVIS] [--split all] [--workers 0 1 2] [--batches 40] [--json FILE]

The data module's own loader: layout of DAVIS, clips of 3 frames, batches of 4, STCN's augmentation (384x384). Without
--root, a few 480p sequences are rendered and stored as JPEG and palette PNG first. One thread per process. Clips per
second are those after the first two batches of each worker, least time of several passes; the shares are CPU time of
one process without workers.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image

from vosfw.data import loader as loader_module
from vosfw.data.augment import ClipAugment
from vosfw.data.datamodule import VOSDataModule
from vosfw.data.davis import DavisDataset
from vosfw.data.io import write_mask
from vosfw.data.sampler import PerFrameSampler
from vosfw.data.synthetic import SyntheticDataset

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--root", type=Path)
parser.add_argument("--split", nargs="+", default=["all"], help="list, sequences or all")
parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
parser.add_argument("--batch-size", type=int, default=4)
parser.add_argument("--batches", type=int, default=40)
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--json", type=Path)


def store(root: Path, videos: int = 4, length: int = 12) -> None:
    """Rendered sequences in the layout of DAVIS."""
    dataset = SyntheticDataset("train", videos=videos, length=length, size=(480, 854), objects=(3, 3))
    for index in range(videos):
        video = dataset.video(index)
        for kind in ("JPEGImages", "Annotations"):
            (root / kind / "480p" / video.name).mkdir(parents=True)
        for t in range(length):
            frame, ids = video.read(t)
            picture = Image.fromarray(frame.permute(1, 2, 0).numpy())
            picture.save(root / "JPEGImages" / "480p" / video.name / f"{t:05d}.jpg", quality=90)
            write_mask(root / "Annotations" / "480p" / video.name / f"{t:05d}.png", ids)


def data_module(options: argparse.Namespace, root: Path, workers: int) -> VOSDataModule:
    """As ``train.py data=davis`` makes it, with enough clips for one pass."""
    split = options.split[0] if len(options.split) == 1 else options.split
    dataset = DavisDataset(root, split)
    repeat = -(-(options.batches + 2 * max(workers, 1)) * options.batch_size // len(dataset))
    sampler = partial(PerFrameSampler, repeat=repeat)
    return VOSDataModule(dataset, sampler=sampler, batch_size=options.batch_size, num_workers=workers)


def rate(options: argparse.Namespace, root: Path, workers: int) -> float:
    """Clips per second of the fastest pass."""
    loader, best = data_module(options, root, workers).train_dataloader(), 0.0
    for _ in range(options.rounds):
        batches = iter(loader)
        for _ in range(2 * max(workers, 1)):
            next(batches)
        start = time.perf_counter()
        for _ in range(options.batches):
            next(batches)
        best = max(best, options.batches * options.batch_size / (time.perf_counter() - start))
        for _ in batches:  # workers finish the epoch
            pass
    return best


def shares(options: argparse.Namespace, root: Path) -> dict[str, float]:
    """CPU milliseconds per clip of each step, without workers; the augmentation is not the loader's."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(work)
        def call(*args: Any, **named: Any) -> Any:
            start = time.process_time()
            result = work(*args, **named)
            spent[name] += 1000 * (time.process_time() - start)
            return result

        return call

    module = data_module(options, root, 0)
    with ExitStack() as stack:
        for name, home, attribute in (
            ("decode JPEG", "vosfw.data.file_video", "read_frame"),
            ("decode PNG", "vosfw.data.file_video", "read_mask"),
        ):
            target = getattr(__import__(home, fromlist=["x"]), attribute)
            stack.enter_context(patch(f"{home}.{attribute}", timed(name, target)))
        stack.enter_context(patch.object(ClipAugment, "prepare", timed("choose objects, crop", ClipAugment.prepare)))
        stack.enter_context(patch.object(loader_module, "collate", timed("collate", loader_module.collate)))
        batches, clips = [], options.batches * options.batch_size
        loader = iter(module.train_dataloader())
        start = time.process_time()
        for _ in range(options.batches):
            batches.append(next(loader))
        whole = 1000 * (time.process_time() - start)
    spent["other (labels, stacking, loader)"] = whole - sum(spent.values())
    start = time.process_time()
    for batch in batches[:5]:
        module.augment(batch)
    augment = 1000 * (time.process_time() - start) / (min(5, len(batches)) * options.batch_size)
    return {**{name: value / clips for name, value in spent.items()}, "augment on the device (CPU)": augment}


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        root = options.root or Path(folder)
        if options.root is None:
            store(root)
        rates = {workers: rate(options, root, workers) for workers in options.workers}
        spent = shares(options, root)
    for workers, value in rates.items():
        print(f"{workers} workers: {value:6.1f} clips/s, {value / next(iter(rates.values())):.2f} x")
    loading = sum(list(spent.values())[:-1])
    for name, value in spent.items():
        print(f"{name:<36}{value:8.2f} ms a clip, {100 * value / loading:5.1f} % of the loader's time")
    if options.json is not None:
        options.json.write_text(json.dumps({"torch": torch.__version__, "clips_per_s": rates, "ms_per_clip": spent}))


if __name__ == "__main__":
    main()
