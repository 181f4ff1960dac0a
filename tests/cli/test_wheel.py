"""What a user gets from the wheel alone, outside the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from vosfw.data.io import write_mask, write_video

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder


def call(installed, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(installed / "site"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vosfw.cli.main", *arguments]
    return subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True)


def test_it_holds_packages_configs_and_types(installed):
    site = installed / "site"
    for path in (
        "vosfw/_configs/train.yaml",
        "vosfw/weights/embedded.safetensors",
        "vosfw/py.typed",
        "vosfw/report/page.html",
        "vosfw/report/viewer.js",
        "vosfw/annotate/page.html",
        "vosfw/annotate/main.js",
        "vosfw/annotate/style.css",
        "callbacks/__init__.py",
    ):
        assert (site / path).is_file(), path
    assert not (site / "tests").exists()


def test_the_embedded_network_segments(installed):
    with write_video(installed / "in.mp4", 10, (48, 64)) as film:
        for t in range(3):
            film.add(torch.full((3, 48, 64), 60 * t, dtype=torch.uint8))
    labels = torch.zeros(48, 64, dtype=torch.uint8)
    labels[10:30, 10:30] = 4
    write_mask(installed / "first.png", labels)
    done = call(installed, "segment", "in.mp4", "--masks", "first.png", "--out", "out", "--size", "64")
    assert "3 masks of objects 4" in done.stdout, done.stderr[-2000:]


def test_it_trains_and_lists_models(installed):
    listed = call(installed, "models")
    assert "stcn" in listed.stdout, listed.stderr
    options = [
        "trainer.max_steps=2",
        "trainer.val_check_interval=2",
        "data.val.videos=1",
        "data.val.length=4",
        "logger=csv",
    ]
    done = call(installed, "train", *options, "run_dir=run")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (installed / "run" / "checkpoints" / "best.ckpt").is_file()
    scored = call(
        installed,
        "evaluate",
        "ckpt_path=run/checkpoints/best.ckpt",
        "data.test.videos=1",
        "data.test.length=4",
        "run_dir=eval",
    )
    assert scored.returncode == 0, scored.stderr[-2000:]
    assert (installed / "eval" / "results.json").is_file()
