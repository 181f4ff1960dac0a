import json
import re
from pathlib import Path

import pytest
import torch
from runs import SMALL_CFBI, SMALL_RPCM

import vosfw
from vosfw.config import compose, instantiate_model, to_container
from vosfw.convert.__main__ import main
from vosfw.convert.matching import RULES
from vosfw.convert.table import _match
from vosfw.hub import read_checkpoint

# As in the published sizes, the first bottleneck changes the width and has a convolution in its shortcut.
SMALL = {"cfbi": SMALL_CFBI, "rpcm": [*SMALL_RPCM, "model.ensembler.prehead=8"]}
GOLDEN = Path(__file__).parents[2] / "golden"
BACKBONE = "encoder.backbone."


@pytest.fixture(params=SMALL)
def system(request):
    return request.param


def keys(system):
    return [name for name, _, _ in json.loads((GOLDEN / system / "keys.json").read_text())]


def official(system):
    """A checkpoint with the authors' names and the shapes of a small composition, and the place of each tensor."""
    state, found, places = instantiate_model(compose(SMALL[system]).model).state_dict(), {}, {}
    names = {name: _match(name, RULES)[1] for name in keys(system) if "backbone" not in name}
    names |= {name.replace("encoder", "feature_extracter"): name for name in state if name.startswith(BACKBONE)}
    for name, place in names.items():
        if place is not None:
            places[name], found[name] = place, torch.rand(state[place].shape)
    return found, places


def test_rules_give_every_official_key_a_place_of_its_own(system):
    places = [_match(name, RULES) for name in keys(system)]
    used = [place for _, place in places if place is not None]
    assert len(set(used)) == len(used)
    assert all(rule is not None and (place is not None or rule.reason) for rule, place in places)
    _, small = official(system)
    assert len(small) == len(set(small.values()))


def test_command(tmp_path, capsys, system):
    source, target = tmp_path / "in.pth", tmp_path / "out.safetensors"
    found, places = official(system)
    scalars = [name for name in found if re.fullmatch("[bf]g_bias", name)]
    assert len(scalars) == 2
    stored = {name: value.view(1, 1, 1, 1) if name in scalars else value for name, value in found.items()}
    torch.save({"state_dict": {f"module.{name}": value for name, value in stored.items()}}, source)
    overrides = [option for option in SMALL[system] if not option.startswith("model=")]
    assert main([system, str(source), str(target), *overrides, "engine.max_side=800"]) == 0
    assert "fg_bias -> matcher.fg_bias" in capsys.readouterr().out
    state = vosfw.load(target).state_dict()
    for name, place in places.items():
        assert torch.equal(state[place], found[name]), name
    # The engine is that of the system, with what was asked for.
    wanted = to_container(compose([f"model={system}", "engine.max_side=800"]).engine)
    assert read_checkpoint(target).engine == wanted
    engine = vosfw.load(target).default_engine
    assert engine.max_side == 800 and engine.merge == "overwrite" and engine.mask_size == "original"
    assert type(engine.reliability).__name__ == ("EntropyReliability" if system == "rpcm" else "NoReliability")
