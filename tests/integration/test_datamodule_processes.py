"""Two processes together see what one sees: batches of training clips, and videos."""

import os
import pickle
from functools import partial
from pathlib import Path

import torch
from torch import distributed, multiprocessing

from vosfw.data.augment import ClipAugment
from vosfw.data.datamodule import VOSDataModule
from vosfw.data.sampler import PerFrameSampler
from vosfw.data.synthetic import SyntheticDataset
from vosfw.types import Clip

Batch = list[tuple[str, tuple[str, ...], int, float]]


def module(batch_size: int) -> VOSDataModule:
    synthetic = partial(SyntheticDataset, size=(32, 32), length=12, objects=(1, 2), distractors=0)
    return VOSDataModule(
        train=synthetic("train", videos=13),
        test=synthetic("test", videos=5),
        sampler=PerFrameSampler,
        augment=ClipAugment((16, 16)),
        batch_size=batch_size,
        num_workers=0,
    )


def content(data: VOSDataModule) -> tuple[list[Batch], list[str]]:
    """What each batch holds, after augmentation; the videos."""
    batches = []
    for batch in data.train_dataloader():
        clip: Clip = data.on_after_batch_transfer(batch, 0)
        sums = clip.frames.double().sum((1, 2, 3, 4)).tolist()
        batches.append([(m.video, m.frames, m.seed, round(s, 3)) for m, s in zip(clip.meta, sums, strict=True)])
    return batches, [video.name for video in data.test_dataloader()]


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    (folder / f"{rank}.pkl").write_bytes(pickle.dumps(content(module(batch_size=2))))
    distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    multiprocessing.start_processes(work, (tmp_path,), nprocs=2, start_method="fork")
    shares = [pickle.loads((tmp_path / f"{rank}.pkl").read_bytes()) for rank in (0, 1)]
    batches, videos = content(module(batch_size=4))
    assert len(batches) == len(shares[0][0]) == len(shares[1][0]) == 3
    for together, first, second in zip(batches, shares[0][0], shares[1][0], strict=True):
        assert sorted(together) == sorted(first + second)
    assert sorted(shares[0][1] + shares[1][1]) == sorted(videos)
    assert len(videos) == 5
