import pytest
import torch
from modules import MemoryVideo, feed, make_module, make_trainer
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import CSVLogger
from scenes import make_clip

from callbacks import BestCheckpointArtifact, LastCheckpoint, PredictionWriter, Throughput, VideoLogger


def trained(tmp_path, *callbacks):
    module = make_module()
    options = {"max_steps": 4, "val_check_interval": 2, "logger": CSVLogger(tmp_path)}
    trainer = make_trainer(*callbacks, **options)
    trainer.fit(module, feed(*(make_clip(seed=i) for i in range(4))), feed(MemoryVideo()))
    return module.state_dict()


@pytest.fixture
def all_watchers(tmp_path):
    writer = PredictionWriter(tmp_path / "masks", stages=("fit", "validate"))
    last = LastCheckpoint(tmp_path / "last.ckpt", 1)
    return [writer, last, Throughput(), VideoLogger(), BestCheckpointArtifact(), LearningRateMonitor()]


def test_weights_are_the_same_to_the_bit_without_them(tmp_path, all_watchers):
    plain, watched = trained(tmp_path), trained(tmp_path, *all_watchers)
    assert plain.keys() == watched.keys()
    assert all(torch.equal(plain[key], watched[key]) for key in plain)
    assert len(list((tmp_path / "masks").glob("squares/*.png"))) == 6
