import json
import re
from pathlib import Path

import pytest
import torch

import vosfw
from vosfw.config import compose, instantiate_model
from vosfw.convert.__main__ import main
from vosfw.convert.pcvos import RULES

SMALL = [
    "model.encoder.name=resnet18",
    "model.value_dim=16",
    "model.decoder.widths=[16,16,16]",
    "model.value_encoder.trunk.name=resnet18",
    "model.refiner.key_dim=8",
]
KEYS = json.loads((Path(__file__).parents[2] / "golden/pcvos/keys.json").read_text())
INDEX = "refine_transformer.layers.0.blocks.0.attn.relative_position_index"
TABLE = "refine_transformer.layers.0.blocks.1.attn.relative_position_bias_table"


def place(name):
    """The first rule that matches the whole name decides."""
    match, rule = next((m, r) for r in RULES if (m := re.fullmatch(r.pattern, name)))
    return None if rule.target is None else match.expand(rule.target)


@pytest.fixture(scope="module")
def official():
    """A checkpoint with the official names and the shapes of a small composition."""
    state = instantiate_model(compose(["model=pcvos", *SMALL]).model).state_dict()
    made = {}
    for name, shape, _ in KEYS:
        target = place(name)
        if target is None:
            made[name] = torch.zeros(shape, dtype=torch.int64)
        elif target in state:
            wanted = state[target]
            made[name] = torch.rand(wanted.shape) if wanted.is_floating_point() else wanted
    return {k: v[:, None] if k.endswith("bias_table") else v for k, v in made.items()}


def run(tmp_path, state, capsys):
    torch.save(state, tmp_path / "in.pth")
    code = main(["pcvos", str(tmp_path / "in.pth"), str(tmp_path / "out.safetensors"), *SMALL])
    return code, capsys.readouterr()


def test_rules_name_every_official_key_once():
    targets = [place(name) for name, _, _ in KEYS]
    kept = [target for target in targets if target is not None]
    assert len(set(kept)) == len(kept) == len(KEYS) - 2
    assert sum(target.startswith("refiner.") for target in kept) == 2 * 17 + 4


def test_command(tmp_path, capsys, official):
    code, said = run(tmp_path, official, capsys)
    assert code == 0, said.err
    assert f"{len(official) - 2} tensors used" in said.out
    assert "computed, not stored" in said.out
    model = vosfw.load(tmp_path / "out.safetensors")
    assert torch.equal(model.refiner.blocks[1].attention.position_bias, official[TABLE][:, 0])
    assert torch.equal(model.refiner.key_proj.weight, official["input_proj.key_proj.weight"])
    assert torch.equal(model.refiner.norm.bias, official["refine_transformer.norm.bias"])
    assert torch.equal(model.value_proj.weight, official["key_comp.weight"])
    assert (model.default_engine.clip_length, model.default_engine.policy.every) == (5, "clip")


def test_keys_that_nobody_knows(tmp_path, capsys, official):
    code, said = run(tmp_path, {**official, "refine_transformer.layers.1.norm": torch.ones(3)}, capsys)
    assert code == 1
    assert re.search(r"1 keys that belong to nothing.*\n +refine_transformer\.layers\.1\.norm", said.err)
    # A third block, which this composition does not have.
    code, said = run(tmp_path, {**official, TABLE.replace("s.1.", "s.2."): official[TABLE]}, capsys)
    assert code == 1
    assert "(as refiner.blocks.2.attention.position_bias)" in said.err
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("name", [TABLE, "input_proj.key_proj.bias", "refine_transformer.norm.weight", "key_comp.bias"])
def test_keys_that_are_missing(tmp_path, capsys, official, name):
    code, said = run(tmp_path, {k: v for k, v in official.items() if k != name}, capsys)
    assert code == 1
    assert re.search(rf"1 weights of the composition that nothing fills.*\n +{re.escape(place(name))}", said.err)


def test_projections_of_queries_and_keys(tmp_path, capsys, official):
    """A checkpoint with two projections does not fit the released options, and says so."""
    name = "refine_transformer.layers.0.blocks.0.attn.qk.weight"
    code, said = run(tmp_path, {**official, name: torch.rand(16, 8)}, capsys)
    assert code == 1
    assert f"{name}: [16, 8], wanted [8, 8]" in said.err


def test_the_index_may_be_left_out(tmp_path, capsys, official):
    code, _ = run(tmp_path, {k: v for k, v in official.items() if k != INDEX}, capsys)
    assert code == 0
