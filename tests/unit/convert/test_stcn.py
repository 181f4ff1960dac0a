import json
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import vosfw
from vosfw.config import compose, instantiate_model
from vosfw.convert.__main__ import main
from vosfw.convert.stcn import RULES, add_mask_channel

SMALL = [
    "model.encoder.name=resnet18",
    "model.value_dim=16",
    "model.decoder.widths=[16,16,16]",
    "model.value_encoder.trunk.name=resnet18",
]
KEYS = json.loads((Path(__file__).parents[2] / "golden/stcn/keys.json").read_text())


def renamed(name):
    """The first rule that matches the whole name decides."""
    match, rule = next((m, r) for r in RULES if (m := re.fullmatch(r.pattern, name)))
    return match.expand(rule.target)


def official(mask_channels=2):
    """A checkpoint with the official names and the shapes of a small composition."""
    model = instantiate_model(compose(SMALL, config_name="model/stcn").model)
    state = model.state_dict()
    names = {}
    for name, _, _ in KEYS:
        target = renamed(name)
        if target in state:
            names[name] = torch.rand(state[target].shape) if state[target].is_floating_point() else state[target]
    names["value_encoder.conv1.weight"] = names["value_encoder.conv1.weight"][:, : 3 + mask_channels].clone()
    return names


def test_rules_name_every_official_key_once():
    assert len({renamed(name) for name, _, _ in KEYS}) == len(KEYS)


def test_the_stem_of_stage_0_gets_an_empty_channel():
    weight = torch.rand(8, 4, 7, 7)
    wide = add_mask_channel(weight, torch.Size((8, 5, 7, 7)))
    assert torch.equal(wide[:, :4], weight)
    assert not wide[:, 4].any()
    assert add_mask_channel(wide, wide.shape) is wide


@pytest.mark.parametrize("mask_channels", [1, 2])
def test_command(tmp_path, capsys, mask_channels):
    source, target = tmp_path / "in.pth", tmp_path / "out.safetensors"
    state = official(mask_channels)
    torch.save({f"module.{key}": value for key, value in state.items()}, source)
    assert main(["stcn", str(source), str(target), *SMALL, "model.memory.max_frames=null"]) == 0
    said = capsys.readouterr().out
    assert "key_comp.weight -> value_proj.weight" in said
    assert f"{len(state)} tensors used" in said
    with safe_open(target, "pt") as file:
        header = json.loads(file.metadata()["vosfw"])
    assert header["name"] == "stcn"
    assert header["model"]["memory"]["max_frames"] is None
    model = vosfw.load(target)
    assert torch.equal(model.value_proj.weight, state["key_comp.weight"])
    assert torch.equal(model.encoder.backbone.layer1[0].conv1.weight, state["key_encoder.res2.0.conv1.weight"])
    assert torch.equal(
        model.value_encoder.trunk.stem.weight[:, : 3 + mask_channels], state["value_encoder.conv1.weight"]
    )
    assert model.value_encoder.trunk.stem.weight[:, 4].any() == (mask_channels == 2)


def test_wrong_use(tmp_path, capsys):
    torch.save(official(), tmp_path / "in.pth")
    torch.save({"some.other": torch.ones(3)}, tmp_path / "other.pth")
    good = str(tmp_path / "out.safetensors")
    for source, target, options, match in (
        ("other.pth", good, SMALL, "some.other"),
        ("in.pth", good, [], "of another shape"),
        ("absent.pth", good, SMALL, "give the path"),
        ("in.pth", str(tmp_path / "out.pth"), SMALL, "ends in .safetensors"),
        ("in.pth", str(tmp_path / "no/such/folder.safetensors"), SMALL, "cannot write"),
        ("in.pth", good, ["model.nothing=1"], "nothing"),
    ):
        assert main(["stcn", str(tmp_path / source), target, *options]) == 1
        assert match in capsys.readouterr().err
    assert not Path(good).exists()
    with pytest.raises(SystemExit):
        main(["unknown", "a", "b"])
