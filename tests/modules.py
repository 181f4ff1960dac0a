"""Small modules, trainers and videos for the tests of Lightning's layer."""

import threading

import pytorch_lightning as pl
import torch
from doubles import KeyDouble
from scenes import squares
from torch.utils.data import DataLoader

from vosfw.data.video import Video
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import DatasetError
from vosfw.loss.bootstrapped_ce import BootstrappedCE
from vosfw.loss.sequence import SequenceLoss
from vosfw.metrics import JAndF
from vosfw.module import FrameCallback, VOSModule


def feed(*items):
    """A loader whose batches are the items themselves."""
    return DataLoader(items, batch_size=None, collate_fn=lambda item: item)


class MemoryVideo(Video):
    """Moving squares; ``masks`` names the frames that have a mask."""

    def __init__(self, name="squares", frames=6, objects=2, masks=None, wanted=None, broken=None, seed=0):
        masks = range(frames) if masks is None else masks
        super().__init__(name, [f"{t:05d}" for t in range(frames)], masks, join="any", wanted=wanted)
        images, self.labels = squares(frames, objects, (32, 40), seed)
        self.images = (images * 255).to(torch.uint8)
        self.broken = broken
        self.read_in = set()

    @property
    def size(self):
        return (32, 40)

    def frame(self, index):
        self.read_in.add(threading.current_thread())
        if index == self.broken:
            raise DatasetError(f"frame {index} is damaged")
        return self.images[index]

    def id_map(self, index):
        return self.labels[index] * 3


class Recorder(FrameCallback):
    def __init__(self):
        self.results = []

    def on_frame(self, trainer, module, result):
        self.results.append(result)


def make_module(segmenter=None, **options):
    torch.manual_seed(0)
    segmenter = segmenter or KeyDouble()
    defaults = {
        "engine": Engine(),
        "train_engine": Engine(policy=IntervalPolicy(every=1)),
        "loss": SequenceLoss(BootstrappedCE()),
        "optimizer": lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
        "metrics": JAndF(),
    }
    return VOSModule(segmenter, **(defaults | options))


def make_trainer(*callbacks, **options):
    defaults = {
        "accelerator": "cpu",
        "max_steps": 2,
        "logger": False,
        "enable_checkpointing": any(isinstance(callback, pl.callbacks.Checkpoint) for callback in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "inference_mode": False,
        "log_every_n_steps": 1,
    }
    return pl.Trainer(callbacks=list(callbacks), **(defaults | options))
