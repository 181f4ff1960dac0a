"""Every order of RPCM's modulators and every row of AOC-Net's table 4 trains, is scored, saved and loaded."""

import json

import pytest
import pytorch_lightning as pl
import torch
from runs import DATA

from vosfw import hub
from vosfw.cli.train import composition
from vosfw.cli.train import main as train
from vosfw.config import choices, compose, instantiate
from vosfw.module import VOSModule

ASSEMBLIES = sorted({*choices("model/modulator")} - {"none"})
ROWS = choices("experiment/aoc_table4")
RUNS = {
    **{name: ["experiment=rpcm_tiny", f"model/modulator={name}", "model.matcher.windows=[1,2]"] for name in ASSEMBLIES},
    **{
        row: ["experiment=aoc_table4", f"experiment/aoc_table4={row}", "model.matcher.pixel.windows=[1,2]"]
        for row in ROWS
    },
}
SMALL = [
    "model.embedding_dim=8",
    "model.encoder.options.channels=[8,8,16,16]",
    "model.encoder.width=16",
    "model.encoder.low_width=8",
    "model.ensembler.widths=[16,32]",
    "model.ensembler.out_channels=32",
    "model.decoder.width=32",
    "data.augment.crop=[33,49]",
    "data.augment.short_side=null",
    "data.num_workers=0",
    "data.test.videos=1",
    "loss.frame_loss.ratio=1.0",
]


def masks(model, engine, video):
    geometry = engine.geometry(video.size, model.grid)
    with torch.no_grad():
        steps = list(engine.run(model.eval(), video, "cpu"))
    return torch.stack([engine.labels(step, geometry)[0] for step in steps]), torch.stack(
        [engine.publish(step, geometry)[0] for step in steps if step.frame]
    )


def test_there_are_eleven():
    assert len(ASSEMBLIES) == 11


def test_rows_of_table_4_have_the_parts_of_their_names():
    found = {}
    for row in ROWS:
        network = instantiate(compose([*RUNS[row], *DATA, *SMALL]).model)
        parts = network.matcher.matchers
        kinds = {type(part.proxies).__name__ for part in parts.values() if name_of(part) == "ProxyMatcher"}
        gates = [part for part in network.modules() if name_of(part) == "CalibrationGate"]
        found[row] = ([*parts], kinds, len(gates), {gate.own.beta for gate in gates})
    kmeans = {"KMeansProxies"}
    assert found == {
        "pixel": (["pixel"], set(), 0, set()),
        "grid": (["1", "16", "pixel"], {"GridProxies"}, 0, set()),
        **{f"k{k}": (["1", str(k), "pixel"], kmeans, 0, set()) for k in (8, 16, 32, 256)},
        "beta0": (["pixel"], set(), 6, {0}),
        "beta30": (["pixel"], set(), 6, {0.3}),
        "both": (["1", "16", "pixel"], kmeans, 6, {0.3}),
    }


def name_of(part):
    return type(part).__name__


@pytest.mark.parametrize("name", RUNS)
def test_an_assembly_trains_and_comes_back_from_its_checkpoint(name, tmp_path):
    config = compose([*RUNS[name], *DATA, *SMALL, f"run_dir={tmp_path}"])
    pl.seed_everything(0, verbose=False)
    model = instantiate(config.model)
    start = {key: value.clone() for key, value in model.state_dict().items()}
    module = VOSModule(
        model,
        instantiate(config.engine),
        instantiate(config.train_engine),
        instantiate(config.loss),
        instantiate(config.optimizer),
        metrics=instantiate(config.metrics),
        composition=composition(config),
    )
    data = instantiate(config.data)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_steps=2, limit_val_batches=0, inference_mode=False, enable_checkpointing=False, **quiet)
    trainer.fit(module, datamodule=data)
    changed = [key for key, value in model.state_dict().items() if not torch.equal(value, start[key])]
    assert any(key.startswith("modulator.") for key in changed)
    trainer.test(module, datamodule=data, verbose=False)
    assert 0 <= module.result.j_and_f <= 1

    trainer.save_checkpoint(tmp_path / "saved.ckpt")
    loaded = hub.load(tmp_path / "saved.ckpt")
    assert loaded.modulator.slots == model.modulator.slots
    video = data.dataset("test").video(0)
    labels, probs = masks(model, module.engine, video)
    again, same = masks(loaded, loaded.default_engine, video)
    assert torch.equal(labels, again) and torch.equal(probs, same)
    assert probs.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aoc", "pcvos", "rpcm", "stm"])
def test_it_learns_two_videos(name, tmp_path):
    options = [f"experiment={name}_overfit", f"run_dir={tmp_path}", "trainer.accelerator=cpu", "~callbacks.progress"]
    assert train([*options, "trainer.enable_progress_bar=false"]) == 0
    assert json.loads((tmp_path / "tests/same/results.json").read_text())["j"] > 0.95
