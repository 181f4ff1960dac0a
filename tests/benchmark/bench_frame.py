"""Time of one STCN frame on a CPU, beside the least time its arithmetic needs.

The yardstick: floor = multiply-adds of the frame after all sharing / the rate of a 3x3 convolution 256 -> 256 on
120x216, measured in the same run. ``frame`` is what a user waits for: padding, encoding, memory read, decoder,
upsampling, aggregation, softmax and the published label map. ``cycle`` is the mean over five frames of which one is
remembered, with the value encoder's multiply-adds in its floor. ``plain`` is a frame as the loop over objects of
``plain_stcn.py`` computes it. All calls are timed in turns, and the least of each counts.
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


def best(calls, repeat):
    """Least seconds of each call, taken in turns: what else runs on the machine only ever adds."""
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(repeat):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            least[name] = min(least[name], time.perf_counter() - start)
    return least


def multiply_adds(call):
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2


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


class Session:
    """A video that has got to its third memory frame; goes on a frame at a time."""

    def __init__(self, network, size, objects, repeat):
        start = EVERY * MEMORY_FRAMES
        network.memory.max_frames = MEMORY_FRAMES
        self.engine = Engine(IntervalPolicy(EVERY))
        self.geometry = self.engine.geometry(size, network.grid)
        self.video = Noise(size, objects, start + EVERY * repeat)
        self.steps = self.engine.run(network, self.video, "cpu")
        for _ in range(start):
            self.last = next(self.steps)

    def frame(self):
        self.last = next(self.steps)
        self.engine.labels(self.last, self.geometry)


def measure(network, size, objects, repeat, *, plain):
    session = Session(network, size, objects, repeat)
    geometry, state, masks = session.geometry, session.last.state, session.last.masks

    def placed():
        return geometry.place_frames(session.video.frame(0)[None].float() / 255, network.pad_color)

    features = network.encode(placed()[:, None])
    conv, x = torch.nn.Conv2d(256, 256, 3, padding=1), torch.randn(1, 256, 120, 216)
    blocked = x.contiguous(memory_format=torch.channels_last)
    calls = {
        "conv": lambda: conv(x),
        "conv_channels_last": lambda: conv(blocked),
        "encoder": lambda: network.encode(features.frames),
        "segment": lambda: network.segment(features, state),
        "memorize": lambda: network.memorize(features, masks, state, keep=True),
    }
    work = {name: multiply_adds(call) for name, call in calls.items()}
    work["frame"] = work["encoder"] + work["segment"]
    work["cycle"] = work["frame"] + work["memorize"] / EVERY
    phases = [f"frame{i}" for i in range(EVERY)]
    calls |= dict.fromkeys(phases, session.frame)
    if plain:
        oracle = PlainSTCN(network, top_k=network.memory.top_k)
        for _ in range(MEMORY_FRAMES):
            oracle.memorize(oracle.encode(features.frames[:, 0]), masks.probs[0, 1:])
        calls["plain"] = lambda: (
            session.engine.fit(oracle.segment(oracle.encode(placed()))[None], geometry).max(1).indices
        )
    seconds = best(calls, repeat)
    frames = [seconds.pop(phase) for phase in phases]
    seconds["frame"], seconds["cycle"] = min(frames), sum(frames) / EVERY
    rate = work.pop("conv") / min(seconds.pop("conv"), seconds.pop("conv_channels_last"))
    del work["conv_channels_last"]
    return seconds, work, rate


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
            seconds, work, rate = measure(network, (height, width), objects, options.repeat, plain=not options.no_plain)
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
