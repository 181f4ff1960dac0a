"""PCVOS's two stages on small files, and what per-clip training promises for every network that reads memory."""

import pytest
import torch
from layouts import make_davis, make_static_images, make_youtube
from runs import QUIET, SMALL_PCVOS, SMALL_STCN, SMALL_STM, curve, weights
from scenes import ToyVideo, make_clip

from vosfw.cli.train import main
from vosfw.config import compose, instantiate, instantiate_model
from vosfw.loss.clip import ClipLoss
from vosfw.loss.cycle import CycleLoss

TINY = [
    *QUIET,
    "model.encoder.pretrained=false",
    "trainer.devices=1",
    "trainer.precision=bf16-mixed",
    "trainer.limit_val_batches=0",
    "trainer.log_every_n_steps=1",
    "callbacks.best=null",
    "logger=csv",
    "data.batch_size=1",
    "data.num_workers=0",
    "data.augment.crop=[32,48]",
]
PARTS = {
    "plain": [],
    "refined": ["model/refiner=intra_clip", "model.refiner.key_dim=16"],
    "progressive": ["model/memory=progressive"],
    "both": ["model/refiner=intra_clip", "model.refiner.key_dim=16", "model/memory=progressive"],
}
NETWORKS = {"stm": SMALL_STM, "stcn": ["model=stcn", *SMALL_STCN]}


def test_stage_2_goes_on_where_stage_1_ended(tmp_path):
    network = [option for option in SMALL_PCVOS if not option.startswith("model=")]
    images = make_static_images(tmp_path / "images")
    one = [*network, *TINY, "experiment=pcvos_stage1", f"data.root={images}", "trainer.max_steps=2"]
    assert main([*one, "model.value_encoder.trunk.pretrained=false", f"run_dir={tmp_path}/one"]) == 0
    assert sorted(curve(tmp_path / "one", "train/clip")) == [0, 1]

    davis, youtube = make_davis(tmp_path / "davis", 8), make_youtube(tmp_path / "youtube", 8)
    two = [*network, *TINY, "experiment=pcvos_stage2", f"data.root={davis}"]
    two += [f"data.train.parts.youtube_vos.root={youtube}", f"weights={tmp_path}/one/checkpoints/last.ckpt"]
    still = ["optimizer.lr=0.0", "optimizer.weight_decay=0.0", "trainer.max_steps=1"]
    assert main([*two, *still, f"run_dir={tmp_path}/still"]) == 0
    first, second = weights(tmp_path / "one"), weights(tmp_path / "still")
    assert first.keys() == second.keys() and any(".refiner." in key for key in first)
    assert all(torch.equal(value, second[key]) for key, value in first.items())

    assert main([*two, "trainer.max_steps=2", f"run_dir={tmp_path}/two"]) == 0
    assert any(not torch.equal(value, first[key]) for key, value in weights(tmp_path / "two").items())


def test_the_stages_are_those_of_the_paper():
    one, two = (compose([f"experiment=pcvos_stage{n}", "run_dir=x"]) for n in (1, 2))
    for config, length in ((one, 1), (two, 3)):
        assert (config.data.sampler.clip_length, config.data.sampler.clips) == (length, 2)
        assert config.train_engine.clip_length == length and config.train_engine.policy.every == "clip"
        assert config.loss._target_.endswith("ClipLoss") and config.loss.clip_length is None
    assert (one.data.augment.max_objects, two.data.augment.max_objects) == (1, 2)
    assert (one.trainer.max_steps, two.trainer.max_steps) == (300_000, 150_000)
    schedule = instantiate(two.callbacks.max_skip_schedule)
    assert [schedule.value(progress) for progress in (0, 0.05, 0.1, 0.2, 0.5, 0.89, 0.9)] == [5, 5, 10, 15, 15, 15, 5]


def built(options):
    torch.manual_seed(0)
    config = compose([*options, "loss=clip", "engine@train_engine=pcvos_train"])
    return instantiate_model(config.model).train(), instantiate(config.train_engine), instantiate(config.loss)


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_any_network_trains_per_clip(name, parts):
    model, engine, loss = built([*NETWORKS[name], *PARTS[parts]])
    clip = make_clip(frames=7, size=(32, 48))
    rollout = engine.rollout(model, clip)
    assert isinstance(loss, ClipLoss) and [step.frame for step in rollout.steps] == [1, 2, 3, 4, 5, 6]
    # Three frames of one clip read the same memory, those of the next one frame more.
    states = [id(step.state) for step in rollout.steps]
    assert [states.index(state) for state in states] == [0, 0, 0, 3, 3, 3]

    terms = loss(rollout, clip, 0.0)
    second = loss(rollout._replace(steps=rollout.steps[3:]), clip, 0.0)["loss"]
    masks = [step.masks.probs for step in rollout.steps[:3]]
    reached = torch.autograd.grad(second, masks, retain_graph=True, allow_unused=True)
    assert reached[0] is None and reached[1] is None, "only the last frame of a clip is remembered"
    assert reached[2].abs().max() > 0
    terms["loss"].backward()
    missing = [key for key, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert missing == []


@pytest.mark.parametrize("name", NETWORKS)
def test_stage_2_trains_other_networks(name, tmp_path):
    davis, youtube = make_davis(tmp_path / "davis", 8), make_youtube(tmp_path / "youtube", 8)
    own = ["engine=pcvos"] if name == "stm" else []
    options = [*NETWORKS[name], *own, *PARTS["both"], *TINY, "experiment=pcvos_stage2", "trainer.max_steps=1"]
    roots = [f"data.root={davis}", f"data.train.parts.youtube_vos.root={youtube}"]
    assert main([*options, *roots, f"run_dir={tmp_path}/run"]) == 0
    assert any(".refiner.blocks" in key for key in weights(tmp_path / "run"))


def test_cycle_loss_of_clips():
    model, engine, _ = built(SMALL_PCVOS)
    clip = make_clip(batch=1, frames=7, size=(32, 48))
    loss = instantiate(compose(["loss=cycle"]).loss)
    assert isinstance(loss, CycleLoss)
    terms = loss(engine.rollout(model, clip), clip, 0.5)
    assert terms["cycle"] > 0
    terms["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_correction_between_clips():
    """Remembered frames are the last ones of clips: those are corrected, and change what the next clips show."""
    torch.manual_seed(0)
    config = compose([*SMALL_PCVOS, "engine/corrector=gradient"])
    assert config.engine.clip_length == 5
    model = instantiate_model(config.model).eval()
    video = ToyVideo(frames=13, size=(32, 48))
    probs = {}
    for name, engine in (
        ("plain", instantiate(config.engine).replace(corrector=None)),
        ("corrected", instantiate(config.engine)),
    ):
        with torch.no_grad():
            probs[name] = {step.frame: step.masks.probs for step in engine.run(model, video, "cpu")}
    same = [torch.equal(probs["plain"][t], probs["corrected"][t]) for t in range(13)]
    assert same == [True] * 6 + [False] * 7
    assert all(value.isfinite().all() for value in probs["corrected"].values())
