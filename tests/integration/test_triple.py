"""CFBI's way of training, with a small network of its family: triples, sequential feedback, hardest pixels."""

from functools import partial

import pytest
import torch
from doubles import PoolDouble
from modules import make_module, make_trainer

from callbacks.feedback_schedule import FeedbackSchedule
from vosfw.data.augment import ClipAugment
from vosfw.data.datamodule import VOSDataModule
from vosfw.data.sampler import TripleSampler
from vosfw.data.synthetic import SyntheticDataset
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.loss.bootstrapped_ce import BootstrappedCE
from vosfw.loss.sequence import SequenceLoss

ENGINE = Engine(policy=IntervalPolicy(every=None, given="introducing", recent=True), mask_size="original")
LOSS = SequenceLoss(BootstrappedCE(start=0, end=3, total=6, count_void=True), reduction="mean")


def make_data(workers: int = 0) -> VOSDataModule:
    return VOSDataModule(
        train=SyntheticDataset("train", videos=12, length=8, size=(48, 64), late=0.3),
        sampler=partial(TripleSampler, current=2, foreground=50),
        augment=ClipAugment((41, 41), short_side=(42, 54), flip=0.5, max_objects=5, min_pixels=8),
        batch_size=2,
        num_workers=workers,
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_it_trains(workers):
    module = make_module(PoolDouble(), train_engine=ENGINE, loss=LOSS)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    make_trainer(
        FeedbackSchedule({0.0: "truth", 0.5: "prediction"}),
        max_steps=6,
        gradient_clip_val=5.0,
        use_distributed_sampler=False,
    ).fit(module, datamodule=make_data(workers))
    changed = [not torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True)]
    assert all(changed)


def test_reference_and_previous_frame_are_not_segmented(monkeypatch):
    data = make_data()
    clip = next(clip for clip in map(data.augment, data.train_dataloader()) if clip.valid.any(1).all())
    pool, plain = [], PoolDouble.segment

    def segment(self, features, state):
        pool.append((state.keys.shape[1], state.previous_labels.clone()))
        return plain(self, features, state)

    monkeypatch.setattr(PoolDouble, "segment", segment)
    steps = ENGINE.rollout(PoolDouble(), clip).steps
    assert [step.frame for step in steps] == [2, 3]
    assert all(step.logits.shape[-2:] == (41, 41) for step in steps)
    # The previous frame is matched as such, but is no reference.
    assert [references for references, _ in pool] == [11 * 11] * 2
    truth = torch.nn.functional.interpolate(clip.labels[:, 1, None].float(), (11, 11), mode="nearest")
    assert torch.equal(pool[0][1], truth.flatten(1).long())


def test_one_backward_pass_has_the_gradients_of_one_per_frame():
    data, network = make_data(), PoolDouble()
    clip = next(clip for clip in map(data.augment, data.train_dataloader()) if clip.valid.any(1).all())

    def gradients(*frames):
        network.zero_grad()
        rollout = ENGINE.rollout(network, clip)
        LOSS(rollout._replace(steps=tuple(rollout.steps[i] for i in frames)), clip, 0.4)["loss"].backward()
        return [parameter.grad.clone() for parameter in network.parameters()]

    for both, first, second in zip(gradients(0, 1), gradients(0), gradients(1), strict=True):
        torch.testing.assert_close(both, (first + second) / 2, atol=1e-6, rtol=1e-5)
