"""A long video in bounded memory: time per frame and resident memory over 2,000 frames at 240p.

python tests/benchmark/bench_long_video.py [--model stcn] [--frames 2000] [--size H W] [--json FILE]

``--model embedded`` runs with its weights and engine, other compositions with random weights. Time and memory of the
second half of the buckets after the bank is full are compared with those of the first half.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import torch

from vosfw.data.synthetic import SyntheticDataset
from vosfw.hub import load
from vosfw.ops.allocator import keep_large_blocks

FULL = 400
"""Frames after which every bank is full and the allocator has settled."""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", default="demo")
parser.add_argument("--frames", type=int, default=2000)
parser.add_argument("--size", type=int, nargs=2, default=(240, 432), metavar=("H", "W"), help="of the video")
parser.add_argument("--short-side", type=int, metavar="N", help="shorter side of the network's input")
parser.add_argument("--bucket", type=int, default=200)
parser.add_argument("--json", type=Path)


def resident() -> float:
    """Resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def main() -> None:
    options = parser.parse_args()
    torch.manual_seed(0)
    keep_large_blocks()
    model = load() if options.model == "embedded" else load(options.model, weights=None)
    engine = model.default_engine
    if options.short_side is not None:
        engine = engine.replace(short_side=options.short_side)
    dataset = SyntheticDataset(
        "test", videos=1, length=options.frames, size=tuple(options.size), objects=(3, 3), seed=1
    )
    video = dataset.video(0)
    rows, seconds = [], 0.0
    height, width = options.size
    print(
        f"{options.model}: {options.frames} frames of {height}x{width}, 3 objects, input {engine.short_side or height} "
        f"pixels on the shorter side, memory every {engine.policy.every} frames, {torch.get_num_threads()} threads"
    )
    print(f"{'frames':>12}{'ms per frame':>15}{'resident MB':>14}")
    with torch.no_grad():
        start = time.perf_counter()
        for step in engine.run(model, video, "cpu"):
            if (step.frame + 1) % options.bucket == 0:
                seconds = time.perf_counter() - start
                row = {"frame": step.frame + 1, "ms": 1000 * seconds / options.bucket, "mb": resident()}
                rows.append(row)
                print(f"{row['frame']:>12}{row['ms']:>15.1f}{row['mb']:>14.0f}", flush=True)
                start = time.perf_counter()
    full = [row for row in rows if row["frame"] - options.bucket >= FULL]
    middle = len(full) // 2
    result = {
        "model": options.model,
        "torch": torch.__version__,
        "rows": rows,
        "time_ratio": min(r["ms"] for r in full[middle:]) / min(r["ms"] for r in full[:middle]),
        "memory_growth_mb": full[-1]["mb"] - full[0]["mb"],
    }
    print(f"after the bank is full: time {result['time_ratio']:.2f} x, memory {result['memory_growth_mb']:+.0f} MB")
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
