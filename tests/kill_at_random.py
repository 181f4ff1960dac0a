"""Kills train, evaluate and segment at random moments, resumes them, and compares with what an undisturbed run gives.

python tests/kill_at_random.py [--kills 20] [--seed 0] [train] [evaluate] [segment]
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from runs import DATA, QUIET, ROOT, TRAIN, weights
from tqdm import tqdm

from vosfw.config import compose, instantiate_model
from vosfw.data.io import read_mask, write_mask, write_video
from vosfw.data.synthetic import SyntheticDataset
from vosfw.hub import save

FRAMES = 60


def start(arguments):
    path = f"{ROOT / 'tests'}{os.pathsep}{ROOT}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, *map(str, arguments)], env=environment, cwd=ROOT, **quiet)


def prepare(folder):
    """A checkpoint, a video file and its first mask."""
    torch.manual_seed(0)
    config = compose(["model=demo", "model.key_dim=8"])
    save(folder / "demo.safetensors", instantiate_model(config.model).state_dict(), "demo", config.model, config.engine)
    video = SyntheticDataset("test", 1, FRAMES, (64, 96), (2, 2), 3).video(0)
    with write_video(folder / "in.mp4", 10, video.size) as film:
        for t in range(FRAMES):
            film.add(video.frame(t))
    write_mask(folder / "first.png", video.given_mask(0))


class Train:
    @staticmethod
    def command(folder, out):
        last = out / "checkpoints" / "last.ckpt"
        options = ["trainer.max_steps=40", "trainer.val_check_interval=20", "callbacks.last.every_n_steps=3"]
        resume = [f"ckpt_path={last}"] if last.is_file() else []
        return ["train.py", *TRAIN, *options, f"run_dir={out}", *resume]

    @staticmethod
    def result(out):
        return weights(out)


class Evaluate:
    @staticmethod
    def command(folder, out):
        data = [item for item in DATA if not item.startswith("data.test")] + ["data.test.videos=8"]
        checkpoint = f"ckpt_path={folder / 'demo.safetensors'}"
        return ["evaluate.py", *data, "data.train.length=20", *QUIET, checkpoint, "resume=true", f"run_dir={out}"]

    @staticmethod
    def result(out):
        scores = json.loads((out / "results.json").read_text())
        found = {name: read_mask(out / "masks" / name) for name in masks(out / "masks")}
        return found | {"scores": json.dumps([scores["sequences"], scores["j_and_f"]])}


class Segment:
    @staticmethod
    def command(folder, out):
        files = [folder / "in.mp4", "--masks", folder / "first.png", "--model", folder / "demo.safetensors"]
        code = "import vosfw.job, sys; vosfw.job.SAVE_EVERY = 0.2; from vosfw.cli.main import main; sys.exit(main())"
        return ["-c", code, "segment", *files, "--out", out, "--both", "--resume", "--device", "cpu", "--at", "00020"]

    @staticmethod
    def result(out):
        return {name: read_mask(out / name) for name in masks(out)}


MODES = {"train": Train, "evaluate": Evaluate, "segment": Segment}


def masks(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def disturbed(mode, folder, out, wait, kills, bar=None):
    """Kill the command ``kills`` times, each after a wait, and let it end; returns how often it was killed at work."""
    killed = 0
    for _ in range(kills):
        process = start(MODES[mode].command(folder, out))
        try:
            process.wait(wait())
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        for name in masks(out) if out.exists() else ():
            read_mask(out / name)  # every mask that is there is whole
        if bar is not None:
            bar.update()
    process = start(MODES[mode].command(folder, out))
    if process.wait(600):
        raise RuntimeError(f"{mode}: the resumed run ended with {process.returncode}")
    return killed


def equal(one, two):
    def alike(a, b):
        return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b

    return one.keys() == two.keys() and all(alike(value, two[key]) for key, value in one.items())


def compare(mode, folder, kills, draw, bar=None):
    """Number of kills that hit a running command; raises if the results differ."""
    began = time.monotonic()
    if start(MODES[mode].command(folder, folder / f"{mode}-whole")).wait(600):
        raise RuntimeError(f"{mode}: the undisturbed run failed")
    seconds = time.monotonic() - began
    out = folder / f"{mode}-broken"
    killed = disturbed(mode, folder, out, lambda: draw.uniform(0.3, 1.0) * seconds, kills, bar)
    if not equal(MODES[mode].result(folder / f"{mode}-whole"), MODES[mode].result(out)):
        raise AssertionError(f"{mode}: the resumed result differs from the undisturbed one")
    return killed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modes", nargs="*", choices=[*MODES, []], help="all if left out")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        for mode in options.modes or MODES:
            with tqdm(total=options.kills, desc=mode, unit="kill") as bar:
                killed = compare(mode, Path(name), options.kills, draw, bar)
            print(f"{mode}: killed {killed} times at work, resumed, the same result")


if __name__ == "__main__":
    main()
