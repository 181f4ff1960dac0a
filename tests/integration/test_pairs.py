"""Parts swap across papers: all legal pairs of choices train and are evaluated, what is refused is told why."""

import itertools
import re

import pairs
import pytest
import pytorch_lightning as pl
import torch

from vosfw.config import choices, compose, instantiate
from vosfw.contract import check_loss, check_parts, fitting
from vosfw.engine.interference import Scene
from vosfw.errors import ConfigError, VosfwError
from vosfw.model.copy_first import CopyFirst
from vosfw.module import VOSModule

KINDS = list(pairs.BASES)
SIZE = [
    "data.train.size=[33,49]",
    "data.train.videos=2",
    "data.train.length=12",
    "data.test.videos=1",
    "data.test.length=3",
    "data.augment.crop=[33,49]",
    "data.augment.min_pixels=4",
    "data.batch_size=2",
    "data.num_workers=0",
    "data.sampler.max_skip=1",
]
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
ROWS = {f"{kind}-{number}": (kind, row) for kind in KINDS for number, row in enumerate(pairs.rows(kind))}


class Gradients(pl.Callback):
    """Looks at the gradients of every step."""

    steps = 0

    def on_after_backward(self, trainer, module):
        found = [p.grad for p in module.parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in found) and any(gradient.any() for gradient in found)
        self.steps += 1


def built(overrides):
    """Module and data of a composition, checked as train.py and evaluate.py check it."""
    config = compose([*overrides, *SIZE])
    check_parts(config.model)
    check_loss(config.loss)
    torch.manual_seed(0)
    names = ("model", "engine", "train_engine", "loss", "optimizer", "scheduler", "metrics")
    module = VOSModule(*(instantiate(config[name]) for name in names))
    data = instantiate(config.data)
    interference = module.engine.interference
    if isinstance(getattr(interference, "source", None), str):
        interference.source = CopyFirst()  # evaluate.py loads one
    interference.check(Scene(module.engine, module.segmenter, data.dataset("test").video(0), "cpu"))
    return module, data


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*:UserWarning")
@pytest.mark.parametrize("name", ROWS)
def test_a_composition_trains_a_step_and_is_evaluated(name):
    module, data = built(pairs.overrides(*ROWS[name]))
    gradients = Gradients()
    options = {"max_steps": 1, "limit_val_batches": 0, "inference_mode": False, "accelerator": "cpu"}
    trainer = pl.Trainer(**options, callbacks=[gradients], **QUIET)
    trainer.fit(module, datamodule=data)
    assert gradients.steps == 1
    trainer.test(module, datamodule=data, verbose=False)
    assert 0 <= module.result.j_and_f <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_legal_pair_is_among_them(kind):
    seen = {
        frozenset(pair) for of, row in ROWS.values() if of == kind for pair in itertools.combinations(row.items(), 2)
    }
    legal = {frozenset(pair) for pair in pairs.pairs(kind) if pairs.legal(kind, dict(pair))}
    assert seen == legal


@pytest.mark.parametrize(
    ("command", "reason"), [(command, reason) for kind in KINDS for _, command, reason in pairs.RULES[kind]]
)
def test_what_cannot_go_together_is_refused_with_the_reason(command, reason):
    with pytest.raises(VosfwError, match=reason):
        built(command)


PARTS = {kind: pairs.parts(kind) for kind in KINDS}
FOREIGN = [
    (kind, f"{part}={name}")
    for kind, other in (KINDS, KINDS[::-1])
    for part, names in PARTS[other].items()
    for name in names
    if name not in PARTS[kind].get(part, ())
]
"""Choices of one kind of network that the other has no use for."""


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_the_other_kind_are_refused_with_the_reason(kind):
    told = set()
    for choice in [choice for of, choice in FOREIGN if of == kind]:
        part, _, name = choice.partition("=")
        if part in told:
            continue
        told |= {part} - {*PARTS[kind]}  # a part that is not there is refused whatever is chosen for it
        with pytest.raises(ConfigError) as caught:
            check_parts(compose([f"model={pairs.BASES[kind]}", choice]).model)
        wanted = rf"wants a kind of \w+ there: choose {part}=" if part in PARTS[kind] else "has no such part; it has "
        assert re.search(wanted, str(caught.value)), (choice, str(caught.value))
        assert name not in PARTS[kind].get(part, ())


@pytest.mark.parametrize("loss", ["bootstrapped_ce", "iou_ce", "mask_iou"])
def test_a_loss_of_one_frame_is_refused(loss):
    with pytest.raises(ConfigError, match=r"wants a loss of clips.*loss@loss.frame_loss="):
        check_loss(compose([f"loss={loss}"]).loss)


def test_frames_that_are_no_multiple_of_a_patch_are_refused():
    small = ["model=stm", "model/value_encoder=patch", "model.value_encoder.stride=16"]
    with pytest.raises(ConfigError, match=r"model.grid_multiple is 1, but .*: set model.grid_multiple=16"):
        built(small)


def test_clips_are_refused_by_networks_that_go_on_from_frame_to_frame():
    row = next(row for kind, row in ROWS.values() if kind == "matching")
    small = pairs.overrides("matching", {**row, "model.soft_masks": "true"})
    with pytest.raises(ConfigError, match=r"engine.clip_length is 5.*goes on from frame to frame"):
        built([*small, "engine.clip_length=5"])


def test_numbers(capsys):
    """How many pairs of choices there are, for the reader of the log."""
    losses = {*choices("loss")} - {*pairs.TRAINING["loss"]}
    lines = []
    for kind in KINDS:
        every = [dict(pair) for pair in pairs.pairs(kind)]
        legal = sum(pairs.legal(kind, pair) for pair in every)
        rows = sum(of == kind for of, _ in ROWS.values())
        foreign = sum(of == kind for of, _ in FOREIGN)
        lines.append(f"{kind}: {legal} legal pairs in {rows} compositions, {len(every) - legal} pairs refused, ")
        lines[-1] += f"{foreign} choices of the other kind refused"
        assert legal > 2000 and foreign > 10
    with capsys.disabled():
        print("\n" + "\n".join([*lines, f"{len(losses)} losses of single frames refused as a training's"]))


def test_fitting_reads_what_a_choice_is_based_on():
    from vosfw.interfaces import Memory, ObjectDecoder

    assert fitting("model/decoder", ObjectDecoder) == ["aoc_released", "calibrated", "ensembler"]
    assert fitting("model/memory", Memory) == choices("model/memory")


def test_a_part_whose_annotations_are_for_a_type_checker_alone_is_let_through():
    """What it takes cannot be read; that it is the wrong kind of part for its place is told all the same."""
    config = compose(["model=stcn"]).model
    config.memory = {"_target_": f"{Foreign.__module__}.Foreign"}
    with pytest.raises(ConfigError, match=r"model.memory is Foreign.*wants a kind of Memory"):
        check_parts(config)
    check_parts(config.memory)


class Foreign(CopyFirst):
    """Somebody's own network, in a module with imports under ``TYPE_CHECKING``."""

    def __init__(self, table: "NotImported" = None) -> None:
        super().__init__()
