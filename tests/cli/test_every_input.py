"""Every layout and every kind of mask goes through check, train, evaluate and score."""

import json

import numpy as np
import pytest
import torch
from layouts import SIZE, boxes, make_davis, make_static_images, make_youtube, picture, save_frame
from PIL import Image
from runs import NETWORK, QUIET

from vosfw.cli.evaluate import main as evaluate
from vosfw.cli.main import main
from vosfw.cli.train import main as train
from vosfw.data.io import read_mask, write_mask
from vosfw.data.mask_file import COLOR

KINDS = {"palette": (1, 2), "grey": (1, 9), "16-bit": (7, 300), "colour": (COLOR + 0xFF0000, COLOR + 0x00FF10)}


def save(path, ids, kind):
    labels = boxes((1, 2), int(path.stem)).int()
    labels = torch.where(labels == 1, ids[0], torch.where(labels == 2, ids[1], 0))
    if kind == "grey":
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels.numpy().astype(np.uint8)).save(path)
    else:
        write_mask(path, labels)


def through(root, data, masks, tmp_path):
    """Check, two training steps, evaluation; returns the ids that were predicted."""
    assert main(["check", str(root), "--quiet"]) == 0
    options = [f"data.root={root}", *QUIET]
    clip = ["data.batch_size=1", "data.sampler.clip_frames=2", "data.augment.crop=[24,32]", "data.num_workers=0"]
    steps = ["trainer.max_steps=2", "trainer.val_check_interval=2", "logger=none", "~callbacks.artifact"]
    assert train([*NETWORK, data, *options, *clip, *steps, f"run_dir={tmp_path}/run"]) == 0
    found = [f"ckpt_path={tmp_path}/run/checkpoints/last.ckpt", f"run_dir={tmp_path}/eval"]
    assert evaluate([data, *options, *found]) == 0
    written = sorted((tmp_path / "eval" / "masks").glob("*/*.png"))
    assert written
    scored = [
        "score",
        "--pred",
        str(tmp_path / "eval" / "masks"),
        "--gt",
        str(masks),
        "--protocol",
        "youtube",
        "--quiet",
    ]
    assert main(scored) == 0
    assert json.loads((tmp_path / "eval" / "masks" / "results.json").read_text())["sequences"]
    return {id_ for path in written for id_ in read_mask(path).unique().tolist()}


@pytest.mark.parametrize("kind", KINDS)
def test_masks(kind, tmp_path):
    root = tmp_path / "data"
    for t in range(4):
        save_frame(root / "frames" / "walk" / f"{t}.png", picture(t))
        save(root / "masks" / "walk" / f"{t}.png", KINDS[kind], kind)
    assert through(root, "data=folder", root / "masks", tmp_path) >= {0, *KINDS[kind]}


def test_binary_masks(tmp_path):
    root = tmp_path / "data"
    for t in range(4):
        save_frame(root / "frames" / "walk" / f"{t}.png", picture(t, SIZE))
        (root / "masks" / "walk").mkdir(parents=True, exist_ok=True)
        Image.fromarray(boxes((255,), t).numpy()).save(root / "masks" / "walk" / f"{t}.png")
    assert through(root, "data=folder", root / "masks", tmp_path) >= {0, 1}


def test_davis(tmp_path):
    root = make_davis(tmp_path / "data")
    (root / "ImageSets" / "2017" / "val.txt").write_text("bird\n")
    gt = tmp_path / "gt"
    gt.mkdir()
    (gt / "bird").symlink_to(root / "Annotations" / "480p" / "bird")
    assert through(root, "data=davis", gt, tmp_path) >= {0, 1, 2, 3}


@pytest.mark.parametrize("data", ["youtube_vos", "mose", "lvos"])
def test_youtube_vos(data, tmp_path):
    root = make_youtube(tmp_path / "data")
    assert through(root, f"data={data}", root / "valid" / "Annotations", tmp_path) >= {0, 3, 5}


def test_long_videos(tmp_path):
    root = make_youtube(tmp_path / "data") / "train"
    (root / "meta.json").unlink()
    assert through(root, "data=long_videos", root / "Annotations", tmp_path) >= {0, 1, 2}


def test_static_images(tmp_path):
    root = make_static_images(tmp_path / "data")
    clip = ["data.batch_size=1", "data.augment.crop=[24,32]", "data.num_workers=0", "data.val.videos=1"]
    steps = ["trainer.max_steps=2", "trainer.val_check_interval=2", "logger=none", "~callbacks.artifact"]
    options = [*NETWORK, "data=static_images", f"data.root={root}", *QUIET, *clip, *steps, "data.train.paste=0.5"]
    assert train([*options, f"run_dir={tmp_path}/run"]) == 0
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


def test_davis_and_youtube_vos_together(tmp_path):
    davis, youtube = make_davis(tmp_path / "davis"), make_youtube(tmp_path / "youtube")
    (davis / "ImageSets" / "2017" / "val.txt").write_text("bird\n")
    clip = ["data.batch_size=1", "data.augment.crop=[24,32]", "data.num_workers=0", "data.sampler.clip_frames=2"]
    steps = ["trainer.max_steps=2", "trainer.val_check_interval=2", "logger=none", "~callbacks.artifact"]
    roots = [f"data.root={davis}", f"data.train.parts.youtube_vos.root={youtube}"]
    assert train([*NETWORK, "data=davis_youtube", *roots, *QUIET, *clip, *steps, f"run_dir={tmp_path}/run"]) == 0
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()
