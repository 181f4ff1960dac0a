"""Time and memory of PCVOS on a CPU, clip by clip, beside the least time its arithmetic needs.

The yardstick: floor = multiply-adds of a frame after all sharing / the rate of a 3x3 convolution 256 -> 256 on 120x216,
measured in the same run. A clip is what a user waits for: padding, encoding of its frames, memory read, refinement,
decoder, aggregation, label maps, and the value of the frame remembered last. ``peak`` is the most memory above that of
the process with its weights, in MB, of a process of its own. ``--bfloat16`` adds ``engine.precision=bfloat16``, and the
share of labels that stay as they are.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench_frame import Noise, best, multiply_adds

import vosfw
from vosfw.ops.allocator import keep_large_blocks


class Session:
    """A video some memory frames old, after which memory stays as large; goes on a clip at a time."""

    def __init__(self, network, size, objects, clip_length, clips, remembered, precision="float32"):
        self.length = clip_length
        network.memory.base.max_frames = remembered
        self.network = network
        self.engine = network.default_engine.replace(clip_length=clip_length, precision=precision)
        self.geometry = self.engine.geometry(size, network.grid)
        self.video = Noise(size, objects, 1 + clip_length * (remembered + clips))
        self.steps = self.engine.run(network, self.video, "cpu")
        self.last = next(self.steps)
        for _ in range(remembered):
            self.clip()

    def clip(self):
        labels = []
        for _ in range(self.length):
            self.last = next(self.steps)
            labels.append(self.engine.labels(self.last, self.geometry))
        return labels


def work_of(session):
    """Multiply-adds of a frame, of the parts of its clip."""
    network, state, masks = session.network, session.last.state, session.last.masks
    frame = session.geometry.place_frames(session.video.frame(0)[None].float() / 255, network.pad_color)
    clip = frame[:, None].expand(-1, session.length, -1, -1, -1)
    features = network.encode(clip)
    calls = {
        "encode": lambda: network.encode(clip),
        "segment": lambda: network.segment(features, state),
        "memorize": lambda: network.memorize(features.at(0), masks, state, keep=True),
    }
    return {name: multiply_adds(call) / session.length for name, call in calls.items()}


def measure(size, objects, clip_length, repeat, remembered):
    network = vosfw.load("pcvos", weights=None)
    # Pages in the weights, and what libraries set up once.
    network.encode(torch.zeros(1, 1, 3, 64, 64))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    session = Session(network, size, objects, clip_length, repeat, remembered)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    conv, x = torch.nn.Conv2d(256, 256, 3, padding=1), torch.randn(1, 256, 120, 216)
    blocked = x.contiguous(memory_format=torch.channels_last)
    rate = multiply_adds(lambda: conv(x))
    seconds = best({"conv": lambda: conv(x), "blocked": lambda: conv(blocked), "clip": session.clip}, repeat)
    rate /= min(seconds["conv"], seconds["blocked"])
    work = work_of(session)
    frame, floor = seconds["clip"] / clip_length, sum(work.values()) / rate
    return {"objects": objects, "clip_length": clip_length, "frame": frame, "floor": floor, "ratio": frame / floor,
            "rate": rate, "work": work, "peak": peak / 1024}  # fmt: skip


def bfloat16(size, objects, clip_length, repeat, remembered):
    """Time per frame in both precisions, and the share of equal labels (of random weights: hardest to keep)."""
    network = vosfw.load("pcvos", weights=None)
    plain = Session(network, size, objects, clip_length, repeat + 1, remembered)
    fast = Session(network, size, objects, clip_length, repeat + 1, remembered, "bfloat16")

    same = torch.cat(plain.clip()) == torch.cat(fast.clip())
    seconds = best({"float32": plain.clip, "bfloat16": fast.clip}, repeat)
    return {"equal": same.float().mean().item(), **{name: value / clip_length for name, value in seconds.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="480x854", help="height x width of the video")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 2, 5])
    parser.add_argument("--clip-length", type=int, nargs="+", default=[5, 10, 15, 25])
    parser.add_argument("--memory-frames", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    keep_large_blocks()
    height, width = map(int, options.size.split("x"))
    if options.one:
        kind = bfloat16 if options.bfloat16 else measure
        with torch.no_grad():
            clip = options.objects[0], options.clip_length[0]
            print(json.dumps(kind((height, width), *clip, options.repeat, options.memory_frames)))
        return

    def run(objects, clip_length, *more):
        command = [sys.executable, __file__, "--one", f"--size={options.size}", f"--threads={options.threads}", *more]
        command += [f"--objects={objects}", f"--clip-length={clip_length}", f"--repeat={options.repeat}"]
        command += [f"--memory-frames={options.memory_frames}"]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(found.stdout.splitlines()[-1])

    rows = []
    for objects in options.objects:
        for clip_length in options.clip_length:
            rows.append(row := run(objects, clip_length))
            print(
                f"{objects} objects, L = {clip_length:2d}: {row['frame']:.3f} s a frame = {row['ratio']:.2f} x floor "
                f"({row['floor']:.3f} s, {row['rate'] / 1e9:.0f} G multiply-adds/s), peak {row['peak']:.0f} MB above "
                "weights",
                flush=True,
            )
    if options.bfloat16:
        row = run(2, 5, "--bfloat16")
        rows.append({"bfloat16": row})
        print(
            f"2 objects, L = 5: float32 {row['float32']:.3f} s, bfloat16 {row['bfloat16']:.3f} s a frame, "
            f"{row['equal']:.2%} of labels equal"
        )
    report = {"size": [height, width], "threads": options.threads, "torch": torch.__version__, "rows": rows}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
