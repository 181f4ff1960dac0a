import json
import re
from pathlib import Path

import pytest
import torch

import vosfw
from vosfw.config import compose, instantiate_model
from vosfw.convert.__main__ import main
from vosfw.convert.stm import RULES

GOLDEN = Path(__file__).parents[2] / "golden/stm_cycle"
SMALL = ["model.key_dim=8", "model.value_dim=8", "model.decoder.width=8"]


@pytest.mark.parametrize("name", ["keys", "keys_resnet18"])
def test_rules_name_every_official_key(name):
    """Once, but for the three first convolutions that become one."""
    listed = [key for key, _, _ in json.loads((GOLDEN / f"{name}.json").read_text())]
    found = []
    for key in listed:
        match, rule = next((m, r) for r in RULES if (m := re.fullmatch(r.pattern, key)))
        if rule.target is None:
            assert key.rpartition(".")[2] in ("mean", "std")
        else:
            found.append((match.expand(rule.target), rule.channel))
    assert len(set(found)) == len(found) == len(listed) - 4
    assert len({target for target, _ in found}) == len(found) - 2


def test_the_original_stm(tmp_path, capsys):
    """Its second mask has another name and another meaning. A made-up file: none of the authors' was at hand."""
    model = instantiate_model(compose(["model=stm_original", *SMALL]).model)
    state = {}
    for key, shape, kind in json.loads((GOLDEN / "keys.json").read_text()):
        match, rule = next((m, r) for r in RULES if (m := re.fullmatch(r.pattern, key)))
        name = key.replace("conv1_bg", "conv1_o")
        if rule.target is None or rule.channel is not None:
            state[name] = torch.rand(shape, dtype=getattr(torch, kind))
        else:
            own = model.state_dict()[match.expand(rule.target)]
            state[name] = torch.rand(own.shape).to(own.dtype)
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "STM_weights.pth")
    target = tmp_path / "stm.safetensors"
    assert main(["stm_original", str(tmp_path / "STM_weights.pth"), str(target), *SMALL]) == 0
    assert "Encoder_M.conv1_o.weight -> value_encoder.trunk.stem.weight" in capsys.readouterr().out
    assert main(["stm", str(tmp_path / "STM_weights.pth"), str(tmp_path / "no.safetensors"), *SMALL]) == 1
    assert "belong to nothing in this composition:\n  Encoder_M.conv1_o.weight" in capsys.readouterr().err
    model = vosfw.load(target)
    assert model.value_encoder.beside == "others" and model.grid.multiple == 16
    assert torch.equal(model.value_encoder.trunk.stem.weight[:, 4:], state["Encoder_M.conv1_o.weight"])
    assert torch.equal(model.value_encoder.trunk.stem.weight[:, :3], state["Encoder_M.conv1.weight"])
