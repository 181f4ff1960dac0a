"""J and F together: ours against the straight NumPy and OpenCV implementation, on one machine in one run.

python tests/benchmark/bench_metrics.py [--frames 10] [--size 480 854] [--objects 1 3 10] [--threads 2] [--json FILE]

Masks are generated blobs with damaged copies as predictions. Both sides take the fastest of several runs, in turns.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import plain_metrics

from vosfw.metrics import j_and_f

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--frames", type=int, default=10, help="frames in one call")
parser.add_argument("--size", type=int, nargs=2, default=(480, 854), metavar=("Y", "X"))
parser.add_argument("--objects", type=int, nargs="+", default=[1, 3, 10])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--repeats", type=int, default=7)
parser.add_argument("--json", type=Path)


def fastest(functions, repeats):
    """Seconds per call of each: the best of several spells of 0.1 s, in turns so that a busy time meets all."""
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for index, function in enumerate(functions):
            calls, start = 0, time.perf_counter()
            while (spent := time.perf_counter() - start) < 0.1 or not calls:
                function()
                calls += 1
            best[index] = min(best[index], spent / calls)
    return best


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    height, width = options.size
    rows = []
    print(f"J and F of {height}x{width} masks, {options.threads} threads, one process, ms per frame")
    print(
        f"{'objects':>8}{'plain':>10}{'ours, one frame':>18}{'ratio':>8}{f'{options.frames} at once':>14}{'ratio':>8}"
    )
    for objects in options.objects:
        pred, truth = plain_metrics.blobs(options.frames, objects, options.size, seed=objects)
        ours = torch.from_numpy(pred), torch.from_numpy(truth)
        one = tuple(each[:1] for each in ours)
        # Exactly the same figures, or the ratio means nothing.
        difference = np.abs(
            torch.stack(j_and_f(*ours, objects)).numpy() - plain_metrics.j_and_f(pred, truth, objects)
        ).max()
        if difference > 1e-9:
            raise SystemExit(f"results differ by {difference}")
        plain, single, batch = fastest(
            [
                lambda p=pred, t=truth, k=objects: plain_metrics.j_and_f(p[:1], t[:1], k),
                lambda m=one, k=objects: j_and_f(*m, k),
                lambda m=ours, k=objects: j_and_f(*m, k),
            ],
            options.repeats,
        )
        batch /= options.frames
        rows.append(
            {
                "objects": objects,
                "plain_ms": 1e3 * plain,
                "single_ms": 1e3 * single,
                "single_ratio": plain / single,
                "batch_ms": 1e3 * batch,
                "batch_ratio": plain / batch,
            }
        )
        print(
            f"{objects:>8}{1e3 * plain:>10.2f}{1e3 * single:>18.2f}{plain / single:>8.1f}"
            f"{1e3 * batch:>14.2f}{plain / batch:>8.1f}"
        )
    report = {"size": list(options.size), "frames": options.frames, "threads": options.threads, "rows": rows}
    print(json.dumps(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
