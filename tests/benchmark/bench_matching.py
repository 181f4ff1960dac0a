"""Time and memory of one frame of CFBI, RPCM or AOC-Net on a CPU, beside the least time its arithmetic needs.

    python tests/benchmark/bench_matching.py [--plain]
    python tests/benchmark/bench_matching.py --frames 1000 --pool 8        # a long video, a capped pool

Floor = multiply-adds of the frame after all sharing / the rate of a 3x3 convolution 256 -> 256 on 120x216, measured in
the same run. Counted as computed, but matching by formula: each cell with those of the one reference and of the largest
local window once, for all objects. ``frame`` is what a user waits for, from the picture to the published labels;
``keep`` is what a frame that joins the pool costs beyond. ``plain`` is a frame as released: distances repeated for each
object, in chunks of the frame's cells, and the head for one object after the other. All calls are timed in turns, and
the least of each counts. Memory: most resident bytes during a call, beyond those with the weights alone.
"""

import argparse
import ctypes
import gc
import json
import resource
import time
from functools import partial
from pathlib import Path

import torch
from bench_frame import Noise, best, multiply_adds
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from vosfw.config import compose, instantiate_engine, instantiate_model
from vosfw.engine.policy import IntervalPolicy
from vosfw.interfaces import Previous
from vosfw.model.matcher.pixel import PixelMatcher
from vosfw.model.matcher.proxy import ProxyMatcher
from vosfw.ops.allocator import keep_large_blocks
from vosfw.ops.matching import FAR, least_of_others

PARTS = {"match": "matcher", "ensemble": "ensembler", "modulate": "modulator", "decode": "decoder"}
WARM = 2


def resident():
    """Resident bytes, after what is free has been given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak(call):
    """Most resident bytes during a call."""
    resident()
    Path("/proc/self/clear_refs").write_text("5")
    call()
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def build(model, encoder):
    torch.manual_seed(0)
    config = compose([f"model={model}", f"model/encoder={encoder}"])
    return instantiate_model(config.model).eval(), instantiate_engine(config.engine)


class Session:
    """A video with one reference that goes on a frame at a time, and the inputs of each part in its last frame."""

    def __init__(self, network, engine, size, objects, length):
        self.network, self.engine = network, engine.replace(policy=IntervalPolicy(None, recent=True))
        self.geometry = self.engine.geometry(size, network.grid)
        self.video = Noise(size, objects, length)
        self.steps = self.engine.run(network, self.video, "cpu")
        stream = self.engine.stream(network, size)
        self.placed = lambda: stream.place_frames(self.video.frame(0)[None])[:, None]
        for _ in range(WARM):
            self.frame()
        # Before the inputs of the parts are held on to.
        self.peak = peak(self.frame)
        self.inputs, names = {}, {getattr(network, part): name for name, part in PARTS.items()}
        handles = [part.register_forward_pre_hook(lambda m, x: self.inputs.update({names[m]: x})) for part in names]
        self.frame()
        [handle.remove() for handle in handles]
        self.features = network.encode(self.placed())
        low = self.features.levels[1][:, 0]
        self.merge, (x, _, *rest) = (network.ensembler(*self.inputs["ensemble"])[1], low), self.inputs["decode"]
        self.decode = lambda: network.decoder(x, network.decoder.merge(*self.merge), *rest)
        self.logits = self.decode()

    def frame(self):
        self.last = next(self.steps)
        return self.engine.labels(self.last, self.geometry)

    def publish(self, logits):
        probs = self.engine.resize(logits, self.geometry.original).float().softmax(1)
        return self.engine.labels(self.last._replace(logits=probs.log()), self.geometry)

    def memorize(self, *, keep):
        masks = self.engine.reliability(self.last.masks) if keep else self.last.masks
        return self.network.memorize(self.features, masks, self.last.state, keep=keep)


class Plain:
    """The same frame without anything shared between objects."""

    def __init__(self, session, chunks):
        self.session, self.network, self.chunks = session, session.network, chunks
        self.reference = self.network.encode(session.placed()).levels[0][:, 0]
        first = session.video.given_mask(0)[None, None].float()
        cells = F.interpolate(first, self.reference.shape[-2:], mode="nearest").flatten().long()
        self.masks = F.one_hot(cells, session.inputs["match"][2].masks.shape[1]).T.float()

    def far(self, query):
        rows, wrong, parts = self.reference.flatten(2)[0].T, FAR * (self.masks < 0.1), []
        for part in query.flatten(2)[0].T.split(-(-query[0, 0].numel() // self.chunks)):
            near = part.square().sum(1)[:, None] + rows.square().sum(1) - 2 * part @ rows.T
            parts.append((near[:, None] + wrong).amin(2))
        return torch.cat(parts).T.unflatten(1, query.shape[-2:])[None]

    def near(self, query, previous):
        """Local distances, offset by offset; all objects at once, which is less than the released loop takes."""
        windows = self.network.matcher.windows
        radius, (height, width) = max(windows), query.shape[-2:]
        embedding, masks = (F.pad(x, (radius,) * 4) for x in (previous.embedding, previous.masks))
        best_of = {r: previous.masks.new_full(previous.masks.shape, FAR) for r in windows}
        for y in range(2 * radius + 1):
            for x in range(2 * radius + 1):
                at = (..., slice(y, y + height), slice(x, x + width))
                found = torch.where(masks[at] > 0.9, (query - embedding[at]).square().sum(1, keepdim=True), FAR)
                for r in windows:
                    if max(abs(y - radius), abs(x - radius)) <= r:
                        best_of[r] = torch.minimum(best_of[r], found)
        return torch.stack([best_of[r] for r in windows], 2)

    def match(self, query, _references, previous, valid):
        matcher, size = self.network.matcher, query.shape[-2:]
        grid = [side // 2 + 1 for side in size]
        pair = torch.cat([query, previous.embedding])
        half, before = F.interpolate(pair, grid, mode="bilinear", align_corners=True).split(1)
        near = matcher._value(self.near(half, Previous(before, F.interpolate(previous.masks, grid, mode="nearest"))))
        local = F.interpolate(near[0], size, mode="bilinear", align_corners=True)[None]
        whole = matcher._value(self.far(query)[:, :, None])
        others = least_of_others(torch.cat([local, whole], 2))
        return torch.cat([whole, local, previous.masks[:, :, None], others], 2)

    def logits(self):
        """Each object by itself, then the classes together."""
        query, _, previous, vectors, valid = self.session.inputs["ensemble"]
        maps, network, last = self.match(*self.session.inputs["match"]), self.network, []
        low, state = self.session.merge[1], self.session.inputs["modulate"][3]
        for i in range(valid.shape[1]):
            one, alone = slice(i, i + 1), (vectors[:, i : i + 1], valid[:, i : i + 1])
            own = Previous(previous.embedding, previous.masks[:, one])
            memories = pytree.tree_map(lambda x, one=one: x[:, one] if x.ndim == 5 else x, state)
            x, skip = network.ensembler(query, maps[:, one], own, *alone)
            x, _ = network.modulator(x, *alone, memories)
            last.append(network.decoder.fuse(x, network.decoder.merge(skip, low), *alone))
        return network.decoder.classify(torch.cat(last, 1), vectors, valid)

    def frame(self):
        self.network.encode(self.session.placed())
        return self.session.publish(self.logits()), self.session.memorize(keep=False)


def matching_work(network, query, objects):
    """Multiply-adds of matching with one reference, of which objects share those with its pixels and with windows."""
    channels, height, width = query.shape[1:]
    local = (height // 2 + 1) * (width // 2 + 1) * (2 * max(pixel_part(network).windows) + 1) ** 2 * channels
    proxies = sum(2 * m.count for m in network.matcher.modules() if isinstance(m, ProxyMatcher)) * (objects + 1)
    return height * width * (height * width + proxies) * (channels + 1) + local


def pixel_part(network):
    return next(part for part in network.matcher.modules() if isinstance(part, PixelMatcher))


def measure(network, engine, size, objects, options):
    session = Session(network, engine, size, objects, WARM + options.repeat + 3)
    conv, x = torch.nn.Conv2d(256, 256, 3, padding=1), torch.randn(1, 256, 120, 216)
    blocked = x.contiguous(memory_format=torch.channels_last)
    calls = {"conv": lambda: conv(x), "conv_channels_last": lambda: conv(blocked)}
    calls["encode"] = lambda: network.encode(session.placed())
    calls |= {name: partial(getattr(network, part), *session.inputs[name]) for name, part in PARTS.items()}
    calls["decode"] = session.decode
    calls["publish"] = lambda: session.publish(session.logits)
    calls["memorise"] = lambda: session.memorize(keep=False)
    calls["keep"] = lambda: session.memorize(keep=True)
    work = {name: multiply_adds(call) for name, call in calls.items()}
    work["match"] = matching_work(network, session.inputs["match"][0], objects)
    work["memorise"] = work["keep"] = 0
    work["frame"] = sum(work[name] for name in ("encode", *PARTS))
    calls["frame"] = session.frame
    row = {"objects": objects, "work": work}
    if options.plain:
        plain = Plain(session, options.chunks)
        row["plain_difference"] = float((plain.logits() - session.logits).abs().max() / session.logits.abs().max())
        calls["plain"] = plain.frame
    seconds = best(calls, options.repeat)
    row["rate"] = work.pop("conv") / min(seconds.pop("conv"), seconds.pop("conv_channels_last"))
    row["peak"] = {"frame": session.peak - options.base}
    row["peak"] |= {"plain": peak(calls["plain"]) - options.base} if options.plain else {}
    return {**row, "seconds": seconds}


def report(model, row):
    rate, head = (
        row["rate"],
        sum(row["work"][name] for name in ("ensemble", "modulate", "decode")) / (row["objects"] + 1),
    )
    print(f"{model}, {row['objects']} objects ({row['objects'] + 1} rows): {rate / 1e9:.0f} G multiply-adds/s")
    print(f"  counted: encoder {row['work']['encode'] / 1e9:.1f} G, matching with one reference", end=" ")
    print(f"{row['work']['match'] / 1e9:.1f} G, head {head / 1e9:.1f} G per row")
    for name, seconds in row["seconds"].items():
        work = row["work"].get(name, 0)
        said = f"{work / 1e9:9.1f} G{seconds * rate / work:8.2f} x floor" if work > 1e6 and name != "keep" else ""
        if name == "plain":
            said = f"{seconds / row['seconds']['frame']:.2f} x frame, logits differ by {row['plain_difference']:.0e}"
        memory = f"   {row['peak'][name] / 2**20:6.0f} MiB above the weights" if name in row["peak"] else ""
        print(f"  {name:<9}{1000 * seconds:10.1f} ms {said}{memory}", flush=True)


def long_video(network, engine, size, options):
    """Time per frame and resident memory over a long video; every fifth frame joins the pool."""
    network.pool.max_frames = options.pool
    engine = engine.replace(policy=IntervalPolicy(5, anchor="start", recent=True))
    geometry, bucket, rows = engine.geometry(size, network.grid), max(options.frames // 10, 1), []
    start = time.perf_counter()
    for step in engine.run(network, Noise(size, options.objects[0], options.frames), "cpu"):
        engine.labels(step, geometry)
        if (step.frame + 1) % bucket == 0:
            ms, mib = 1000 * (time.perf_counter() - start) / bucket, resident() / 2**20
            rows.append({"frame": step.frame + 1, "ms": ms, "mib": mib})
            print(f"  frame {step.frame + 1:5d}: {ms:8.1f} ms, {mib:7.0f} MiB resident", flush=True)
            start = time.perf_counter()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["cfbi", "rpcm"])
    parser.add_argument("--encoder", default="deeplab_r101")
    parser.add_argument("--size", default="480x854", help="height x width of the video")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 2, 10])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help="also the plain formula")
    parser.add_argument("--chunks", type=int, default=20, help="of the frame's cells, in the plain formula")
    parser.add_argument("--frames", type=int, help="instead: a video of so many frames, with the first of --objects")
    parser.add_argument("--pool", type=int, default=8, help="most predicted frames in the pool, with --frames")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    size = tuple(map(int, options.size.split("x")))
    keep_large_blocks()
    rows = []
    with torch.no_grad():
        for model in options.model:
            network, engine = build(model, options.encoder)
            options.base = resident()
            if options.frames:
                rows.append({"model": model, "long": long_video(network, engine, size, options)})
            for objects in () if options.frames else options.objects:
                rows.append({"model": model, **measure(network, engine, size, objects, options)})
                report(model, rows[-1])
    if options.json:
        used = {name: getattr(options, name) for name in ("size", "encoder", "threads", "repeat", "pool")}
        options.json.write_text(json.dumps({"torch": torch.__version__, **used, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
