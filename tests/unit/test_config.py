import json

import pytest
import torch
from omegaconf import OmegaConf

from vosfw.config import (
    check_targets,
    choices,
    compose,
    config_dir,
    explain,
    instantiate,
    instantiate_engine,
    instantiate_model,
    with_engine,
)
from vosfw.engine.engine import Engine
from vosfw.errors import CheckpointError, ConfigError


def test_configs_are_found_and_listed():
    assert (config_dir() / "train.yaml").is_file()
    assert {"stcn", "demo", "copy_first"} <= set(choices("model"))


def test_composing_leaves_hydras_global_state_alone():
    from hydra.core.global_hydra import GlobalHydra

    before = GlobalHydra.instance().is_initialized()
    config = compose(["model=copy_first", "engine.policy.every=3"])
    assert config.engine.policy.every == 3
    assert GlobalHydra.instance().is_initialized() == before


def test_an_unknown_model_lists_the_nearest():
    with pytest.raises(ConfigError, match="did you mean stcn"):
        compose(["model=stnc"])


def test_a_choice_that_was_found_is_not_blamed_for_another_mistake():
    """``model=checkpoint`` is no file: evaluation offers it for the run."""
    message = "Could not override 'bogus'."
    assert explain(message, ["model=checkpoint", "bogus=3"]) == message


def test_an_unknown_key_is_refused():
    with pytest.raises(ConfigError, match="clip_lenght"):
        compose(["engine.clip_lenght=3"])


def engines(*overrides):
    config = compose(overrides)
    return config.engine, config.train_engine


@pytest.mark.parametrize("name", ["cfbi", "rpcm", "aoc", "aoc_released"])
def test_a_model_brings_the_engines_of_its_name(name):
    own = engines(f"model={name}")
    assert own == engines(f"model={name}", f"engine={name}", f"engine@train_engine={name}_train")
    assert own != engines() and own[0].merge == own[1].merge == "overwrite"
    assert ("Entropy" in own[0].reliability._target_) == (name == "rpcm")
    assert compose([f"model={name}"], "evaluate").engine == own[0]


def test_engines_that_are_chosen_stay():
    default, train = engines("model=stcn")
    assert engines("model=rpcm", "engine=default")[0] == default == engines()[0]
    assert engines("model=rpcm", "engine@train_engine=train")[1] == train
    assert engines("model=rpcm", "engine=cfbi") == (engines("model=cfbi")[0], engines("model=rpcm")[1])
    assert compose(["model=rpcm", "engine=default"], "evaluate").engine == default


def test_options_of_the_engine_apply_to_that_of_the_model():
    engine, _ = engines("engine.policy.every=7", "engine/reliability=none", "model=rpcm")
    assert engine.policy.every == 7 and engine.policy.anchor == "start" and engine.merge == "overwrite"
    assert "NoReliability" in engine.reliability._target_


def test_the_last_of_two_models_brings_its_engine():
    assert with_engine(["model=stcn", "model=cfbi"], "evaluate")[2:] == ["engine=cfbi"]
    assert with_engine(["model=cfbi", "model=stcn"], "evaluate")[2:] == []


@pytest.mark.parametrize(
    ("experiment", "name"),
    [
        ("cfbi_youtube", "cfbi"),
        ("rpcm_stage1", "rpcm"),
        ("rpcm_davis", "rpcm"),
        ("aoc_youtube", "aoc"),
        ("aoc_davis", "aoc"),
    ],
)
def test_experiments_have_the_engines_of_their_model(experiment, name):
    assert engines(f"experiment={experiment}", "data.root=somewhere") == engines(f"model={name}")


@pytest.mark.parametrize("name", ["davis16", "davis17", "davis17_testdev", "youtube18", "youtube19"])
def test_aoc_is_evaluated_with_and_without_predicted_references(name):
    base = [f"experiment=aoc_{name}", "data.root=somewhere"]
    assert compose(base, "evaluate").engine == compose(["model=aoc"], "evaluate").engine
    more = compose([*base, "engine/policy=pool", "engine/reliability=entropy"], "evaluate").engine
    assert more == compose(["model=aoc", "engine=aoc_mf"], "evaluate").engine
    assert more.policy.every == 5 and "Entropy" in more.reliability._target_


def test_engine_from_its_config():
    engine = instantiate_engine(compose(["engine.policy.every=7"]).engine)
    assert isinstance(engine, Engine)
    assert engine.policy.every == 7


def test_an_error_inside_a_constructor_is_told_as_it_is():
    with pytest.raises(ConfigError, match=r"engine\.policy\.every is 0"):
        instantiate(compose(["engine.policy.every=0"]).engine)


WALKS = [
    "os.system",
    "torch.nn.modules.module.torch.os.system",
    "torch.nn.modules.os.system",
    "torch.nn.Linear",  # the defining path is torch.nn.modules.linear.Linear
    "torch.nn.modules.module.OrderedDict",
    "torch.nn.modules.module._global_forward_hooks.clear",
    "torch.nn.modules.linear.Linear.__init__",
    "torch.nn.modules.linear.torch.load",
    "vosfw.model.copy_first.torch.hub.load",
    "vosfw.model.copy_first.NamedTuple",
    "vosfw.hub.load",
    "vosfw.model.memory_network.Segmenter",
    "torch.nn.modules..linear.Linear",
    "builtins.eval",
    ["torch.nn.modules.linear.Linear"],
]


@pytest.mark.parametrize("target", WALKS, ids=str)
@pytest.mark.parametrize("place", ["top", "nested", "positional", "listed"])
def test_stored_targets_can_run_nothing_else(target, place):
    good = {"_target_": "torch.nn.modules.linear.Linear", "in_features": 1, "out_features": 1}
    bad = {"_target_": target}
    config = {
        "top": bad,
        "nested": {**good, "device": bad},
        "positional": {**good, "_args_": [bad]},
        "listed": {**good, "more": [[{"deep": bad}]]},
    }[place]
    with pytest.raises(CheckpointError, match="refused target"):
        check_targets(json.loads(json.dumps(config)), ("vosfw.model.", "torch.nn.modules."), torch.nn.Module)


def test_stored_interpolations_are_refused():
    config = {"_target_": "torch.nn.modules.linear.Linear", "in_features": "${oc.env:HOME}", "out_features": 1}
    with pytest.raises(CheckpointError, match="refused to resolve"):
        check_targets(config, ("torch.nn.modules.",), torch.nn.Module)


def test_trusted_targets_are_not_checked():
    with pytest.raises(ConfigError, match="builds a Linear; wanted a Segmenter"):
        instantiate_model(
            OmegaConf.create({"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}), trust_targets=True
        )
