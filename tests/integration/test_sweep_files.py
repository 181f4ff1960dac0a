"""What W&B's agents make of the files under configs/sweep starts our training."""

from types import SimpleNamespace

import pytest
import yaml
from omegaconf import OmegaConf
from wandb import wandb_agent

from vosfw.config import choices, compose, config_dir, instantiate
from vosfw.interfaces import Segmenter

FILES = sorted((config_dir() / "sweep").glob("*.yaml"))


def first(parameter):
    """A value that the sweep may propose."""
    found = [parameter[key] for key in ("value", "min") if key in parameter] or parameter["values"]
    return found[0]


def agents_command(sweep, monkeypatch):
    """The command that the agent itself would start for the first values."""
    started = []
    monkeypatch.setattr(wandb_agent, "AgentProcess", lambda command, **_: started.append(command) or SimpleNamespace())
    agent = wandb_agent.Agent.__new__(wandb_agent.Agent)
    own = {"_sweep_command": list(sweep["command"]), "_in_jupyter": False, "_function": None, "_run_processes": {}}
    agent.__dict__ |= own | {"_forward_signals": False, "_last_report_time": None}
    values = {name: {"value": first(parameter)} for name, parameter in sweep["parameters"].items()}
    agent._command_run({"run_id": "abc", "program": sweep["program"], "args": values})
    return started[0], {name: each["value"] for name, each in values.items()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_command_composes(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SWEEP_ID", "xyz")
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.setenv(name, "")  # so that it is taken back
    sweep = yaml.safe_load(path.read_text())
    command, values = agents_command(sweep, monkeypatch)
    assert command[:3] == ["/usr/bin/env", "python", "train.py"]
    config = compose(command[3:])
    assert config.run_dir == "outputs/wandb/xyz/abc"
    for name, value in values.items():
        if "/" not in name:
            assert OmegaConf.select(config, name) == pytest.approx(value), name
    assert isinstance(instantiate(config.model), Segmenter)
    # The best checkpoint is by the same value, and Lightning refuses a value that nobody logs.
    best = config.callbacks.best
    assert sweep["metric"] == {"name": best.monitor, "goal": {"max": "maximize", "min": "minimize"}[best.mode]}
    assert config.trainer.val_check_interval < config.trainer.max_steps


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_choice_exists(path):
    for name, parameter in yaml.safe_load(path.read_text())["parameters"].items():
        assert "/" not in name or set(parameter["values"]) <= set(choices(name))


def test_there_are_some():
    assert FILES
