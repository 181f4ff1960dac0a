"""Time of one STCN frame on a CPU, beside the least time its arithmetic needs.

The yardstick: floor = multiply-adds of the frame after all sharing / the rate of a 3x3 convolution 256 -> 256 on
120x216, measured in the same run. ``frame`` is what a user waits for: padding, encoding, memory read, decoder,
upsampling, aggregation, softmax and the published label map. ``cycle`` is the mean over five frames of which one is
remembered, with the value encoder's multiply-adds in its floor. ``plain`` is the loop over objects of ``plain_stcn.py``
for the same frame, from the encoder to the aggregated probabilities.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from plain_stcn import PlainSTCN

import vosfw
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.ops.allocator import keep_large_blocks

EVERY = 5
MEMORY_FRAMES = 3


def best(call, repeat):
    """Least seconds of several calls: what others do on the machine only ever adds."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def multiply_adds(call):
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2


def conv_rate(repeat):
    """Multiply-adds per second, in the faster of the two memory layouts."""
    layer, x = torch.nn.Conv2d(256, 256, 3, padding=1), torch.randn(1, 256, 120, 216)
    inputs = [x, x.contiguous(memory_format=torch.channels_last)]
    seconds = min(best(lambda x=x: layer(x), repeat) for x in inputs)
    return multiply_adds(lambda: layer(x)) / seconds


class Noise:
    """A video of noise in which every object is given in frame 0."""

    def __init__(self, size, objects, length):
        self.size, self.length = size, length
        self.given, self.wanted = {0: tuple(range(objects))}, (True,) * length
        self.image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)

    def __len__(self):
        return self.length

    def frame(self, index):
        return self.image

    def given_mask(self, index):
        """Stripes, one per object, with background between them."""
        labels = torch.zeros(self.size, dtype=torch.uint8)
        width = self.size[1] // (len(self.given[0]) + 1)
        for slot in self.given[0]:
            left = slot * width + width // 4
            labels[self.size[0] // 4 : -self.size[0] // 4, left : (slot + 1) * width] = slot + 1
        return labels


def run(network, size, objects, repeat):
    """Least seconds of each of the five frames from one that is remembered to the next, and the last state."""
    start = EVERY * MEMORY_FRAMES
    engine = Engine(IntervalPolicy(EVERY))
    geometry = engine.geometry(size, network.grid)
    least, step = [float("inf")] * EVERY, None
    before = time.perf_counter()
    for step in engine.run(network, Noise(size, objects, start + EVERY * repeat), "cpu"):
        engine.labels(step, geometry)
        now = time.perf_counter()
        if step.frame >= start:
            least[step.frame % EVERY] = min(least[step.frame % EVERY], now - before)
        before = now
    return least, step, geometry


def measure(network, size, objects, repeat, *, plain):
    network.memory.max_frames = MEMORY_FRAMES
    least, step, geometry = run(network, size, objects, repeat)
    state, masks = step.state, step.masks
    features = network.encode(torch.rand(1, 1, 3, *geometry.padded))
    work = {
        "encoder": multiply_adds(lambda: network.encode(features.frames)),
        "segment": multiply_adds(lambda: network.segment(features, state)),
        "memorize": multiply_adds(lambda: network.memorize(features, masks, state, keep=True)),
    }
    seconds = {
        "encoder": best(lambda: network.encode(features.frames), repeat),
        "segment": best(lambda: network.segment(features, state), repeat),
        "memorize": best(lambda: network.memorize(features, masks, state, keep=True), repeat),
    }
    seconds["frame"], seconds["cycle"] = min(least), sum(least) / EVERY
    work["frame"] = work["encoder"] + work["segment"]
    work["cycle"] = work["frame"] + work["memorize"] / EVERY
    if plain:
        oracle = PlainSTCN(network, top_k=network.memory.top_k)
        for _ in range(MEMORY_FRAMES):
            oracle.memorize(oracle.encode(features.frames[:, 0]), masks.probs[0, 1:])
        seconds["plain"] = best(lambda: oracle.segment(oracle.encode(features.frames[:, 0])), max(repeat // 2, 1))
    return seconds, work


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="480x854", help="height x width of the video")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 2, 10])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-plain", action="store_true", help="leave the plain loop out")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    height, width = map(int, options.size.split("x"))
    keep_large_blocks()
    rows = []
    with torch.no_grad():
        network = vosfw.load("stcn", weights=None)
        for objects in options.objects:
            before = conv_rate(options.repeat)
            seconds, work = measure(network, (height, width), objects, options.repeat, plain=not options.no_plain)
            rate = max(before, conv_rate(options.repeat))
            ratios = {name: seconds[name] * rate / work[name] for name in work}
            rows.append({"objects": objects, "rate": rate, "seconds": seconds, "work": work, "ratio": ratios})
            said = ", ".join(f"{name} {seconds[name]:.3f} s = {ratios[name]:.2f} x floor" for name in ratios)
            plain = seconds.get("plain")
            said += f"; plain loop {plain:.3f} s = {plain / seconds['frame']:.2f} x frame" if plain else ""
            print(f"{objects:2d} objects, {rate / 1e9:.0f} G multiply-adds/s: {said}", flush=True)
    report = {"size": [height, width], "threads": options.threads, "torch": torch.__version__, "rows": rows}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
