"""Time of gradient correction on a CPU, beside forward passes and beside the plain loop.

The yardstick: one correction of N steps / one forward pass of memorise, read and decode, timed in the same run; a step
is a forward and a backward pass, so that 2 N is what arithmetic allows if both cost the same. ``plain`` is the loop of
``tests/plain_corrector.py``, which encodes both frames anew in every step. All calls are timed in turns, and the least
of each counts.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench_frame import Noise, best
from plain_corrector import plain_correction

import vosfw
from vosfw.engine.corrector import GradientCorrector
from vosfw.engine.cycle import KnownFrame, reconstruct
from vosfw.engine.engine import Engine
from vosfw.ops.allocator import keep_large_blocks


class Case:
    """A frame with soft masks of stripes, and a known frame."""

    def __init__(self, network, size, objects):
        video = Noise(size, objects, 1)
        self.network, self.engine = network, Engine(letterbox=size)
        stream = self.engine.stream(network, size)
        frames = stream.place_frames(torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8))
        self.frames = frames[:, None]
        self.known, self.frame = network.encode(self.frames[:1]), network.encode(self.frames[1:])
        labels = video.given_mask(0)[None]
        self.masks = stream.place_given(labels, torch.ones(1, objects, dtype=torch.bool))
        self.soft = self.masks._replace(probs=0.8 * self.masks.probs + 0.2 / (objects + 1))

    def forward(self):
        reconstruct(self.network, self.frame, self.soft, self.known)

    def corrected(self, corrector):
        known = KnownFrame(self.known, self.masks)
        return corrector(self.network, self.frame, self.soft, known, self.engine.resize).probs

    def plain(self, corrector):
        labels = self.masks.probs.argmax(1)[0]
        slots = list(range(self.masks.valid.shape[1]))
        options = {"rate": corrector.rate, "steps": corrector.steps}
        return plain_correction(
            self.network, self.frames[1, 0], self.soft.probs[0], self.frames[0, 0], labels, slots, **options
        )[0]


def memory_read(network, size, frames):
    """The read of one query from so many reference frames."""
    cells = tuple(-(-side // 16) for side in size)
    key, value = torch.randn(1, 2, 128, *cells), torch.randn(1, 2, 512, *cells)
    bank = network.memory.empty(key, value)
    for _ in range(frames):
        bank = network.memory.write(bank, key, value, keep=True)
    query = torch.randn(1, 128, 1, *cells)
    return lambda: network.memory.read(bank, query)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="stm")
    parser.add_argument("--size", default="240x427", help="height x width")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 2, 5])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rate", type=float, default=0.02, help="small: random weights amplify rounding")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-plain", action="store_true", help="leave the plain loop out")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    height, width = map(int, options.size.split("x"))
    keep_large_blocks()
    rows = []
    with torch.no_grad():
        network = vosfw.load(options.model, weights=None)
        reads = {f"read {count}": memory_read(network, (height, width), count) for count in (1, 2, 4, 8)}
        seconds = best(reads, 5 * options.repeat)
        print(", ".join(f"{name} {1e3 * took:.1f} ms" for name, took in seconds.items()), flush=True)
        for objects in options.objects:
            case, corrector = Case(network, (height, width), objects), GradientCorrector(options.rate, options.steps)
            half = GradientCorrector(options.rate, options.steps, precision="bfloat16")
            calls = {
                "forward": case.forward,
                "corrected": lambda c=case, k=corrector: c.corrected(k),
                "bfloat16": lambda c=case, k=half: c.corrected(k),
            }
            if not options.no_plain:
                calls["plain"] = lambda c=case, k=corrector: c.plain(k)
            took = best(calls, options.repeat)
            passes = took["corrected"] / took["forward"]
            rows.append({"objects": objects, "seconds": took, "passes": passes})
            said = f"{objects} objects: forward {took['forward']:.3f} s, {options.steps} steps "
            said += f"{took['corrected']:.3f} s = {passes:.1f} forward passes; bfloat16 {took['bfloat16']:.3f} s"
            if "plain" in took:
                apart = (case.plain(corrector) - case.corrected(corrector)).abs().max().item()
                rows[-1]["apart"] = apart
                said += f"; plain loop {took['plain']:.3f} s = {took['plain'] / took['corrected']:.2f} x"
                said += f", apart {apart:.1e}"
            print(said, flush=True)
    report = {"model": options.model, "size": [height, width], "threads": options.threads, "torch": torch.__version__}
    if options.json:
        options.json.write_text(json.dumps(report | {"reads": seconds, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
