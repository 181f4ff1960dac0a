import json
import re
from pathlib import Path

import pytest
import torch
from runs import SMALL_AOC_RELEASED, SMALL_CFBI, SMALL_RPCM

import vosfw
from vosfw.config import compose, instantiate_model, to_container
from vosfw.convert.__main__ import SYSTEMS, main
from vosfw.convert.matching import PREHEAD
from vosfw.convert.table import _match
from vosfw.hub import read_checkpoint

# As in the published sizes, the first bottleneck changes the width and has a convolution in its shortcut.
NARROW = "model.ensembler.prehead=8"
SMALL = {
    "cfbi": SMALL_CFBI,
    "rpcm": [*SMALL_RPCM, NARROW],
    # With all windows, since the matching maps have an order of their own.
    "aoc_released": [*(option for option in SMALL_AOC_RELEASED if "windows" not in option), NARROW],
}
FOLDERS = {"aoc_released": "aoc"}
GOLDEN = Path(__file__).parents[2] / "golden"
BACKBONE = "encoder.backbone."


@pytest.fixture(params=SMALL)
def system(request):
    return request.param


def keys(system):
    return [name for name, _, _ in json.loads((GOLDEN / FOLDERS.get(system, system) / "keys.json").read_text())]


def official(system):
    """A checkpoint with the authors' names and the shapes of a small composition, and the places of each tensor."""
    state, found, places = instantiate_model(compose(SMALL[system]).model).state_dict(), {}, {}
    names = {name: _match(name, SYSTEMS[system])[1] for name in keys(system) if "backbone" not in name}
    names |= {name.replace("encoder", "feature_extracter"): [name] for name in state if name.startswith(BACKBONE)}
    for name, targets in names.items():
        if targets:
            places[name], found[name] = targets, torch.rand(state[targets[0]].shape)
    return found, places


def test_rules_give_every_official_key_a_place_of_its_own(system):
    places = [_match(name, SYSTEMS[system]) for name in keys(system)]
    used = [place for _, targets in places for place in targets]
    assert len(set(used)) == len(used)
    assert all(rule is not None and (targets or rule.reason) for rule, targets in places)
    found, small = official(system)
    filled = [place for targets in small.values() for place in targets]
    assert len(found) == len(small) and len(set(filled)) == len(filled)


def test_command(tmp_path, capsys, system):
    source, target = tmp_path / "in.pth", tmp_path / "out.safetensors"
    found, places = official(system)
    scalars = [name for name in found if re.fullmatch("[bf]g_bias", name)]
    assert len(scalars) == 2
    stored = {name: value.view(1, 1, 1, 1) if name in scalars else value for name, value in found.items()}
    dropped = [name for name in keys(system) if "backbone" not in name and name not in found]
    stored |= {name: torch.rand(1) for name in dropped}
    torch.save({"state_dict": {f"module.{name}": value for name, value in stored.items()}}, source)
    overrides = [option for option in SMALL[system] if not option.startswith("model=")]
    assert main([system, str(source), str(target), *overrides, "engine.max_side=800"]) == 0
    shown = capsys.readouterr().out
    assert f"fg_bias -> {', '.join(places['fg_bias'])}\n" in shown
    assert all(f"{name} dropped: " in shown for name in dropped)
    state = vosfw.load(target).state_dict()
    for name, targets in places.items():
        wanted = found[name]
        if system == "aoc_released" and name == "dynamic_prehead.conv.weight":
            wanted = wanted[:, PREHEAD]
        for place in targets:
            assert torch.equal(state[place], wanted), name
    assert {place for targets in places.values() for place in targets} == {*state}
    # The engine is that of the system, with what was asked for.
    wanted = to_container(compose([f"model={system}", "engine.max_side=800"]).engine)
    assert read_checkpoint(target).engine == wanted
    engine = vosfw.load(target).default_engine
    assert engine.max_side == 800 and engine.merge == "overwrite" and engine.mask_size == "original"
    assert type(engine.reliability).__name__ == ("EntropyReliability" if system == "rpcm" else "NoReliability")
