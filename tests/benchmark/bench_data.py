"""How fast clips come: rendering of synthetic videos, decoding of a data set in the layout of DAVIS, augmentation.

python tests/benchmark/bench_data.py [--root DAVIS] [--rounds 5] [--json FILE]

Without --root, a few 480p frames are rendered and stored as JPEG and palette PNG first. Least times of several rounds,
one thread.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image

from vosfw.data.augment import ClipAugment
from vosfw.data.collate import collate
from vosfw.data.dataset import ClipRequest
from vosfw.data.davis import DavisDataset
from vosfw.data.io import read_frame, read_mask, write_mask
from vosfw.data.synthetic import SyntheticDataset

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--root", type=Path)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--json", type=Path)


def least(work: Callable[[], object], rounds: int) -> float:
    """Milliseconds of the fastest round."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def store(root: Path) -> None:
    """One rendered sequence in the layout of DAVIS."""
    video = SyntheticDataset("train", videos=1, length=8, size=(480, 854), objects=(3, 3)).video(0)
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / "480p" / "clip").mkdir(parents=True)
    for t in range(len(video)):
        frame, ids = video.read(t)
        picture = Image.fromarray(frame.permute(1, 2, 0).numpy())
        picture.save(root / "JPEGImages" / "480p" / "clip" / f"{t:05d}.jpg", quality=90)
        write_mask(root / "Annotations" / "480p" / "clip" / f"{t:05d}.png", ids)


def main() -> None:
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, float] = {}
    for size in ((96, 160), (240, 432), (480, 854)):
        dataset = SyntheticDataset("train", videos=4, length=24, size=size, objects=(3, 3))
        name = f"synthetic {size[0]}x{size[1]}"
        rows[f"{name}: build a scene"] = least(lambda d=dataset: d.video(0)._scene, options.rounds)
        video = dataset.video(0)
        video.frame(0)
        rows[f"{name}: 24 frames with masks"] = least(lambda v=video: [v.read(t) for t in range(24)], options.rounds)
    dataset = SyntheticDataset("train", videos=4, length=24)
    clips = [ClipRequest(i, (0, 4, 8), i) for i in range(4)]
    rows["synthetic 96x160: clip of 3 frames"] = least(lambda: [dataset[c] for c in clips], options.rounds) / 4

    with TemporaryDirectory() as folder:
        root = options.root or Path(folder)
        if options.root is None:
            store(root)
        davis = DavisDataset(root, "all")
        index = max(range(len(davis)), key=lambda i: len(davis.annotated[i]))
        frames, masks = davis._frames[index], davis._masks[index]
        rows["480p: read a frame (JPEG)"] = least(lambda: [read_frame(f) for f in frames[:8]], options.rounds) / 8
        rows["480p: read a mask (PNG)"] = least(lambda: read_mask(masks[0]), options.rounds)
        request = ClipRequest(index, tuple(davis.annotated[index][:3]), 0)
        rows["480p: clip of 3 frames"] = least(lambda: davis[request], options.rounds)
        sample, augment = davis[request], ClipAugment()
        rows["480p: choose objects and crop"] = least(lambda: augment.prepare(sample), options.rounds)
        batch = collate([augment.prepare(sample)])
        rows["480p: augment a clip (384x384, CPU)"] = least(lambda: augment(batch), options.rounds)
    for name, value in rows.items():
        print(f"{name:<45}{value:>9.2f} ms")
    if options.json is not None:
        options.json.write_text(json.dumps({"torch": torch.__version__, "ms": rows}, indent=2))


if __name__ == "__main__":
    main()
