import threading

import pytest
import pytorch_lightning as pl
import torch
from doubles import DOUBLES, KeyDouble
from modules import MemoryVideo, Recorder, feed, make_module, make_trainer
from runs import SMALL_STCN
from scenes import make_clip
from torch import nn

from vosfw.config import compose, instantiate_model
from vosfw.engine.engine import Engine
from vosfw.errors import CheckpointError, ConfigError, DatasetError
from vosfw.loss.bootstrapped_ce import BootstrappedCE
from vosfw.loss.sequence import SequenceLoss
from vosfw.metrics import j_and_f
from vosfw.module import FrameCallback


class Steps(pl.Callback):
    """Notes what was logged and how far training was at each step."""

    def __init__(self):
        self.losses, self.progress = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(float(trainer.callback_metrics["train/loss"]))
        self.progress.append(pl_module.progress)


@pytest.mark.parametrize("name", DOUBLES)
def test_training_lowers_the_loss(name):
    steps = Steps()
    clip = make_clip()
    module = make_module(DOUBLES[name](), loss=SequenceLoss(BootstrappedCE(ratio=1.0)))
    make_trainer(steps, max_steps=12).fit(module, feed(*[clip] * 12))
    assert steps.losses[-1] < steps.losses[0]
    assert steps.progress == pytest.approx([i / 12 for i in range(1, 13)])


@pytest.mark.parametrize("options", [{"precision": "bf16-mixed"}, {"accumulate_grad_batches": 2}])
def test_precision_and_accumulation(options):
    steps, module = Steps(), make_module()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    make_trainer(steps, gradient_clip_val=1.0, **options).fit(module, feed(*(make_clip(seed=i) for i in range(4))))
    assert torch.tensor(steps.losses).isfinite().all()
    for old, new in zip(before, module.parameters(), strict=True):
        assert new.dtype == torch.float32 and new.isfinite().all() and not torch.equal(old, new)


@pytest.mark.parametrize("evaluated", [False, True])
def test_frozen_norms_keep_their_statistics(evaluated):
    """As built, and where the network comes in evaluation mode, as a loaded one does: it is trained as any other."""

    class Watch(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.modes = {type(part).__name__: part.training for part in pl_module.segmenter.modules()}

    watch = Watch()
    network = instantiate_model(compose(["model=stcn", *SMALL_STCN]).model)
    module = make_module(network.eval() if evaluated else network)
    before = {name: value.clone() for name, value in network.named_buffers()}
    weights = network.encoder.backbone.bn1.weight.detach().clone()
    make_trainer(watch, max_steps=2).fit(module, feed(*[make_clip()] * 2))
    assert watch.modes["MemoryNetwork"] and not watch.modes["BatchNorm2d"]
    assert len(before) > 80 and all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    assert not torch.equal(network.encoder.backbone.bn1.weight, weights), "their affine parameters learn"


def test_compiled_methods_train_to_the_same_weights():
    plain, compiled = make_module(), make_module(compile={"backend": "eager"})
    for module in (plain, compiled):
        make_trainer().fit(module, feed(*[make_clip()] * 2))
    for (name, left), right in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6, msg=name)
    assert plain.state_dict().keys() == compiled.state_dict().keys()


def test_the_schedule_gets_the_length_of_the_run():
    from functools import partial

    rates = []

    class Rates(pl.Callback):
        def on_train_batch_end(self, trainer, *arguments):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    poly = partial(torch.optim.lr_scheduler.PolynomialLR, total_iters=None, power=1.0)
    make_trainer(Rates(), max_steps=4).fit(make_module(scheduler=poly), feed(*[make_clip()] * 4))
    assert rates == pytest.approx([0.0075, 0.005, 0.0025, 0.0])


def test_a_schedule_without_an_end_is_refused():
    from functools import partial

    poly = partial(torch.optim.lr_scheduler.PolynomialLR, total_iters=None)
    with pytest.raises(ConfigError, match=r"trainer\.max_steps"):
        make_trainer(max_steps=-1, max_epochs=-1).fit(make_module(scheduler=poly), feed(make_clip()))


def test_only_trained_parameters_reach_the_optimizer():
    seen = []

    def optimizer(parameters):
        seen.extend(parameters)
        return torch.optim.SGD(seen, lr=0.1)

    segmenter = KeyDouble()
    segmenter.backbone.requires_grad_(False)
    make_module(segmenter, optimizer=optimizer).configure_optimizers()
    assert {id(p) for p in seen} == {id(p) for p in segmenter.parameters() if p.requires_grad}


def test_parameters_may_be_exempt_from_weight_decay():
    segmenter = KeyDouble()
    segmenter.head.bias.requires_grad_(False)
    module = make_module(segmenter, optimizer=lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.5), no_decay=["*.bias"])
    decayed, spared = module.configure_optimizers().param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.5, 0.0)
    trained = {name: p for name, p in segmenter.named_parameters() if p.requires_grad}
    assert {id(p) for p in spared["params"]} == {id(p) for name, p in trained.items() if name.endswith(".bias")}
    assert {id(p) for p in decayed["params"]} == {id(p) for name, p in trained.items() if name.endswith(".weight")}
    one = make_module(KeyDouble(), no_decay="head.*").configure_optimizers().param_groups[1]["params"]
    assert len(one) == 2


def test_an_exemption_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"no_decay.*\*\.beta.*no_decay=\[\]"):
        make_module(no_decay=["*.beta"]).configure_optimizers()


def test_a_batch_without_objects_has_nothing_to_teach():
    steps, module, clip = Steps(), make_module(loss=SequenceLoss(BootstrappedCE(ratio=1.0))), make_clip()
    empty = clip._replace(given=clip.given & False, valid=clip.valid & False, labels=clip.labels * 0)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    make_trainer(steps, max_steps=1).fit(module, feed(empty))
    assert steps.losses == [0]
    assert all(torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("missing", ["loss", "optimizer"])
def test_training_without_a_part_is_refused(missing):
    with pytest.raises(ConfigError, match=missing):
        make_trainer().fit(make_module(**{missing: None}), feed(make_clip()))


def test_scores_are_those_of_the_published_masks():
    video, recorder, module = MemoryVideo(), Recorder(), make_module()
    metrics = make_trainer(recorder).test(module, feed(video), verbose=False)[0]
    assert [result.frame for result in recorder.results] == list(range(6))
    assert [result.predicted for result in recorder.results] == [False, *[True] * 5]
    assert torch.equal(recorder.results[0].labels, video.labels[0])
    pred = torch.stack([result.labels for result in recorder.results])
    j, f = j_and_f(pred[1:-1], video.labels[1:-1], 2)
    assert metrics["test/j"] == pytest.approx(j.mean().item())
    assert metrics["test/f"] == pytest.approx(f.mean().item())
    assert metrics["test/j_and_f"] == pytest.approx((j.mean() + f.mean()).item() / 2)
    assert metrics["perf/fps"] > 0
    assert module.result is not None and tuple(module.result.sequences["squares"].objects) == (3, 6)


def test_frames_without_truth_are_not_scored():
    video, recorder, module = MemoryVideo(masks=(0, 2, 3, 5)), Recorder(), make_module()
    make_trainer(recorder).test(module, feed(video), verbose=False)
    assert module.result is not None and module.result.sequences["squares"].frames == ("00002", "00003")
    assert [result.truth is None for result in recorder.results] == [False, True, False, False, True, False]


def test_videos_with_only_given_masks_get_masks_and_no_score(caplog):
    first, known = MemoryVideo("first", masks=(0,)), MemoryVideo("known", seed=1)
    recorder, module = Recorder(), make_module()
    with caplog.at_level("INFO"):
        make_trainer(recorder).test(module, feed(first, known), verbose=False)
    assert module.result is not None
    assert list(module.result.sequences) == ["known"] and list(module.result.unscored) == ["first"]
    assert sum(result.video is first for result in recorder.results) == 6
    assert "no score" in caplog.text and "first" in caplog.text


def test_masks_that_only_introduce_objects_are_no_truth():
    video = MemoryVideo("late", masks=(0, 2, 4))
    video.labels[:2][video.labels[:2] == 2] = 0
    video.labels[0, 0, 0] = 1
    video.labels[:4][video.labels[:4] == 2] = 0
    video.labels[2:4, :4, :4] = 2
    module = make_module()
    assert len(video.given) == 2
    video.annotated = tuple(video.given)
    make_trainer().test(module, feed(video), verbose=False)
    assert module.result is not None and list(module.result.unscored) == ["late"]


def test_unwanted_frames_are_neither_read_nor_shown():
    wanted = (True, False, True, False, True, False)
    recorder = Recorder()
    make_trainer(recorder).test(make_module(), feed(MemoryVideo(wanted=wanted, broken=3)), verbose=False)
    assert [result.frame for result in recorder.results] == [0, 2, 4]


def test_validation_logs_under_its_own_name():
    trainer = make_trainer()
    metrics = trainer.validate(make_module(), feed(MemoryVideo()), verbose=False)[0]
    assert {"val/j_and_f", "val/j", "val/f", "perf/fps"} <= metrics.keys()
    assert not any(name.startswith("test/") for name in metrics)


def test_prediction_shows_frames_and_returns_names():
    recorder = Recorder()
    assert make_trainer(recorder).predict(make_module(), feed(MemoryVideo(masks=(0,)))) == ["squares"]
    assert len(recorder.results) == 6


def test_a_process_without_a_video_takes_part():
    module = make_module()
    metrics = make_trainer().test(module, feed(None), verbose=False)[0]
    assert metrics["perf/fps"] == 0 and module.result is not None and not module.result.sequences


def test_evaluation_leaves_autograd_to_the_corrector():
    seen = []

    class Watcher(FrameCallback):
        def on_frame(self, trainer, module, result):
            with torch.enable_grad():
                weight = next(module.parameters())
                seen.append((result.labels.is_inference(), (weight * 2).sum().requires_grad))

    make_trainer(Watcher()).test(make_module(), feed(MemoryVideo(frames=2)), verbose=False)
    assert seen == [(False, True)] * 2


def test_an_error_of_the_reader_reaches_the_user():
    video, recorder = MemoryVideo(broken=4), Recorder()
    threads = threading.active_count()
    with pytest.raises(DatasetError, match="frame 4 is damaged"):
        make_trainer(recorder).test(make_module(), feed(video), verbose=False)
    assert [result.frame for result in recorder.results] == [0, 1, 2, 3]
    assert threading.active_count() == threads


def test_checkpoints_name_their_composition(tmp_path):
    composition = {"name": "key", "model": {"_target_": "a.B", "width": [1, 2]}, "engine": {}}
    trainer, path = make_trainer(), tmp_path / "a.ckpt"
    trainer.fit(make_module(composition=composition), feed(*[make_clip()] * 2))
    trainer.save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    assert content["vosfw"] == {"version": 1, **composition}
    assert all(key.startswith("segmenter.") for key in content["state_dict"])
    make_trainer(max_steps=3).fit(make_module(composition=composition), feed(*[make_clip()] * 3), ckpt_path=str(path))
    other = composition | {"name": "other", "model": {"_target_": "a.C", "width": [1, 2], "depth": 3}}
    message = r"'key', but this run has 'other'\. .* model\._target_: a\.B, here a\.C; model\.depth: not set, here 3"
    with pytest.raises(CheckpointError, match=message):
        make_trainer(max_steps=3).fit(make_module(composition=other), feed(make_clip()), ckpt_path=str(path))


def test_a_foreign_checkpoint_is_refused():
    module = make_module(composition={"name": "key", "model": {"_target_": "a.B"}})
    with pytest.raises(CheckpointError, match="not written by vosfw"):
        module.on_load_checkpoint({"state_dict": {}})


def test_moving_average_of_the_weights(tmp_path):
    ema = pl.callbacks.EMAWeightAveraging(decay=0.5)
    module = make_module()
    start = module.segmenter.query.weight.detach().clone()
    weights = []

    class Weights(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *arguments):
            weights.append(pl_module.segmenter.query.weight.detach().clone())

    make_trainer(ema, Weights(), max_steps=3).fit(module, feed(*[make_clip()] * 3), feed(MemoryVideo()))
    average = start
    for new in weights:
        average = average.lerp(new, 0.5) if average is not start else new
    torch.testing.assert_close(module.segmenter.query.weight.detach(), average)


def test_sequence_loss_sums_over_frames_and_means_over_the_batch():
    class Frame(nn.Module):
        def forward(self, logits, labels, valid, progress):
            assert logits.dtype == torch.float32
            return labels.float().mean() + progress

    clip = make_clip(frames=4)
    rollout = Engine().rollout(KeyDouble(), clip)
    terms = SequenceLoss(Frame())(rollout, clip, 0.25)
    expected = sum(clip.labels[:, t].float().mean() + 0.25 for t in (1, 2, 3))
    torch.testing.assert_close(terms["loss"], torch.as_tensor(expected))
    mean = SequenceLoss(Frame(), reduction="mean")(rollout, clip, 0.25)["loss"]
    torch.testing.assert_close(mean, torch.as_tensor(expected / 3))
    with pytest.raises(ConfigError, match="max"):
        SequenceLoss(Frame(), reduction="max")


def test_a_clip_without_predicted_frames_is_refused():
    clip = make_clip(frames=1)
    with pytest.raises(ConfigError, match="2 or more"):
        SequenceLoss(BootstrappedCE())(Engine().rollout(KeyDouble(), clip), clip, 0.0)
