import pytest
import pytorch_lightning as pl
from doubles import PoolDouble
from hydra.utils import instantiate
from modules import feed, make_module, make_trainer
from omegaconf import OmegaConf
from scenes import make_clip

from callbacks.feedback_schedule import FeedbackSchedule
from vosfw.config import config_dir
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError

CFBI = {0.0: "truth", 0.5: "prediction"}


class Seen(pl.Callback):
    """Notes by which feedback each step was trained."""

    def __init__(self):
        self.feedback = {}

    def on_train_batch_start(self, trainer, pl_module, *arguments):
        self.feedback[trainer.global_step] = pl_module.train_engine.feedback


def run(schedule, steps=6, module=None, checkpoint=None, **options):
    seen, module = Seen(), module or make_module()
    trainer = make_trainer(schedule, seen, max_steps=steps, **options)
    trainer.fit(module, feed(*[make_clip()] * 8), ckpt_path=checkpoint)
    return seen.feedback, trainer


def test_values_by_fraction():
    schedule = FeedbackSchedule({0.0: "truth", 0.25: "prediction", 0.75: "truth"})
    expected = {0: "truth", 0.24: "truth", 0.25: "prediction", 0.7: "prediction", 0.75: "truth", 1.0: "truth"}
    assert {progress: schedule.value(progress) for progress in expected} == expected


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2}])
def test_steers_the_training_engine(options):
    feedback, _ = run(FeedbackSchedule(CFBI), steps=4, **options)
    assert feedback == {0: "truth", 1: "truth", 2: "prediction", 3: "prediction"}


def test_a_resumed_run_has_the_feedback_of_its_step(tmp_path):
    _, trainer = run(FeedbackSchedule(CFBI), steps=2)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    feedback, _ = run(FeedbackSchedule(CFBI), steps=6, checkpoint=str(tmp_path / "a.ckpt"))
    assert feedback == {2: "truth", 3: "prediction", 4: "prediction", 5: "prediction"}


def test_other_options_and_the_engine_of_evaluation_stay():
    engine = Engine(policy=IntervalPolicy(every=1), align_corners=True)
    module = make_module(engine=engine, train_engine=None)
    run(FeedbackSchedule({0.0: "truth"}), steps=1, module=module)
    assert engine.feedback == "prediction"
    assert module.train_engine.feedback == "truth"
    assert module.train_engine.policy is engine.policy
    assert module.train_engine.align_corners


@pytest.mark.parametrize("kind", ["truth", "prediction"])
def test_what_is_remembered(kind, monkeypatch):
    remembered = []
    plain = PoolDouble.memorize
    monkeypatch.setattr(
        PoolDouble,
        "memorize",
        lambda self, features, masks, *rest, **options: (
            remembered.append(masks.probs),
            plain(self, features, masks, *rest, **options),
        )[1],
    )
    run(FeedbackSchedule({0.0: kind}), steps=1, module=make_module(PoolDouble()))
    # The first call begins the session, the second one is the frame that was predicted.
    hard = [bool(((probs == 0) | (probs == 1)).all()) for probs in remembered]
    assert hard[1] == (kind == "truth")


@pytest.mark.parametrize("milestones", [{}, {0.1: "truth"}, {0.0: "truth", 1.5: "truth"}, {0.0: "guess"}])
def test_illegal_milestones(milestones):
    with pytest.raises(ConfigError, match="Milestones"):
        FeedbackSchedule(milestones)


def test_needs_an_end():
    with pytest.raises(ConfigError, match=r"Set trainer\.max_steps or max_epochs"):
        run(FeedbackSchedule(CFBI), steps=-1, max_epochs=-1, max_time="00:00:00:05")


def test_needs_our_module():
    with pytest.raises(ConfigError, match="VOSModule"):
        FeedbackSchedule(CFBI).on_train_start(pl.Trainer(accelerator="cpu", logger=False), pl.LightningModule())


def test_config():
    schedule = instantiate(OmegaConf.load(config_dir() / "callbacks" / "feedback_schedule.yaml"))
    assert schedule.milestones == sorted(CFBI.items())
