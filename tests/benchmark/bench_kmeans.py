"""Time and quality of K-Means over a reference frame's cells: torch, faiss and SciPy's ``kmeans2``.

    python tests/benchmark/bench_kmeans.py [--points 6448 25773] [--clusters 16 256] [--objects 2 11] [--quality 10]

The points are noise around as many places per object as there are clusters, one batch, objects of unequal sizes. By
default the noise hides the places, so that nothing converges early: the most that 20 iterations take. Times are of a
whole call, k-means++ included, over the time of a 3x3 convolution 256 -> 256 on 120x216 in the same run; all calls take
turns and the least of each counts. ``--processor`` counts processor seconds, which on a busy machine say more than
those of the clock, with ``--threads 1``. ``--quality N``: within-cluster sum of squares, summed over the objects, over
that of SciPy's best of N runs; mean and least of N seeds.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import faiss
import torch
from scipy.cluster.vq import kmeans2

from vosfw.ops.allocator import keep_large_blocks
from vosfw.ops.kmeans import kmeans

BACKENDS = ("torch", "faiss")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", default=[25773])
    parser.add_argument("--clusters", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--objects", type=int, nargs="+", default=[2, 11])
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--noise", type=float, default=3.0, help="deviation, where that of the places is 1")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--processor", action="store_true", help="processor seconds instead of the clock's")
    parser.add_argument("--quality", type=int, default=0, help="runs of each, for the sum of squares")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


def draw(total, clusters, objects, width, noise):
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(objects, generator=generator) + 0.05
    # In runs, as the cells of a picture are, and at least one of each object.
    owner = torch.multinomial(shares, total, True, generator=generator)
    owner[:objects] = torch.arange(objects)
    owner = owner.sort().values
    places = torch.randn(objects, clusters, width, generator=generator)
    place = torch.randint(clusters, (total,), generator=generator)
    return (places[owner, place] + noise * torch.randn(total, width, generator=generator))[None], owner[None]


def scipy_runs(points, owner, objects, clusters, seed):
    """``kmeans2`` for one object after the other: centres and clusters of each."""
    own = [points[0, owner[0] == o].numpy() for o in range(objects)]
    return [(x, *kmeans2(x, min(clusters, len(x)), iter=20, minit="++", rng=seed)) for x in own]


def cost(runs):
    return sum(float(((x - centers[label]).astype("float64") ** 2).sum()) for x, centers, label in runs)


def ours(points, owner, objects, found):
    parts = [owner[0] == o for o in range(objects)]
    return cost([(points[0, p].numpy(), found.centers[0, o].numpy(), found.cluster[0, p]) for o, p in enumerate(parts)])


def turns(calls, repeat, clock):
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(repeat):
        for name, call in calls.items():
            start = clock()
            call()
            least[name] = min(least[name], clock() - start)
    return least


def measure(total, clusters, objects, options):
    points, owner = draw(total, clusters, objects, options.width, options.noise)
    run = {name: partial(kmeans, points, owner, objects, clusters, backend=name) for name in BACKENDS}
    run["scipy"] = partial(scipy_runs, points, owner, objects, clusters)
    conv, image = torch.nn.Conv2d(256, 256, 3, padding=1), torch.randn(1, 256, 120, 216)
    calls = {"conv": lambda: conv(image)} | {name: partial(call, seed=0) for name, call in run.items()}
    seconds = turns(calls, options.repeat, time.process_time if options.processor else time.perf_counter)
    row = {"points": total, "clusters": clusters, "objects": objects, "seconds": seconds}
    if options.quality:
        seeds = range(options.quality)
        costs = {name: [ours(points, owner, objects, run[name](seed=s)) for s in seeds] for name in BACKENDS}
        costs["scipy"] = [cost(run["scipy"](seed=s)) for s in seeds]
        best = min(costs["scipy"])
        row["cost"] = {name: (sum(x) / len(x) / best, min(x) / best) for name, x in costs.items()}
    return row


def main(options):
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    keep_large_blocks()
    rows = []
    print("points  clusters  objects      conv " + "".join(f"{name:>20}" for name in (*BACKENDS, "scipy")))
    with torch.no_grad():
        for total in options.points:
            for clusters in options.clusters:
                for objects in options.objects:
                    row = measure(total, clusters, objects, options)
                    seconds = row["seconds"]
                    times = [f"{1000 * s:9.1f} ms {s / seconds['conv']:5.2f} x" for s in list(seconds.values())[1:]]
                    print(f"{total:6d}{clusters:10d}{objects:9d}{1000 * seconds['conv']:8.1f} ms", *times, flush=True)
                    for name, (mean, least) in row.get("cost", {}).items():
                        print(f"{'':25}{name}: {mean:.4f} x SciPy's best on average, {least:.4f} x at best", flush=True)
                    rows.append(row)
    if options.json:
        used = {name: getattr(options, name) for name in ("width", "noise", "threads", "repeat", "processor")}
        options.json.write_text(json.dumps({"torch": torch.__version__, **used, "rows": rows}, indent=1))


if __name__ == "__main__":
    main(parse())
