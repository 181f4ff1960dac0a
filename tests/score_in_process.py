"""One of two processes that score videos together: ``python score_in_process.py RANK FOLDER``."""

import json
import sys
from pathlib import Path

import plain_metrics
import torch
import torch.distributed as dist

VIDEOS = {"two": (6, 2), "one": (11, 1), "many": (4, 30), "first_mask_only": (1, 2)}
"""Frames and objects."""


def video(name):
    """Prediction, truth and ids of one of ``VIDEOS``."""
    frames, objects = VIDEOS[name]
    seed = list(VIDEOS).index(name)
    pred, truth = plain_metrics.blobs(frames, objects, (30, 50), seed)
    return torch.from_numpy(pred), torch.from_numpy(truth), range(1, objects + 1)


def feed(metric, names, span=4):
    """Hand videos to a metric, a few frames at a time."""
    for name in names:
        pred, truth, ids = video(name)
        for at in range(0, len(pred), span):
            metric.update(pred[at : at + span], truth[at : at + span], video=name, ids=ids)


def main(rank, folder):
    from vosfw.errors import DatasetError
    from vosfw.metrics import JAndF

    dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=2)
    every = list(VIDEOS)
    splits = {
        "uneven": (["two", "many", "first_mask_only"], ["one"]),
        "none_on_1": (every, []),
        "none_on_0": ([], every),
        "shared": (every, ["two"]),
    }
    found = {}
    for split, shares in splits.items():
        metric = JAndF()
        feed(metric, shares[rank])
        try:
            found[split] = metric.compute().to_json()
            if split == "uneven":
                # Going on after a result: gathered states must not have replaced the own ones.
                metric._computed = None
                found["again"] = metric.compute().to_json()
                lines = b"".join(bytes(header.numpy()) for header in metric.headers).splitlines()
                found["own"] = list(dict.fromkeys(json.loads(line)["video"] for line in lines))
        except DatasetError as error:
            found[split] = str(error)
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
