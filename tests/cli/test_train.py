import sys

import pytest
import torch
import yaml
from runs import DATA, NETWORK, TRAIN, curve, weights

from vosfw import hub
from vosfw.cli import launch
from vosfw.cli.main import main as vosfw
from vosfw.cli.tracking import code_version
from vosfw.cli.train import main, without_downloads


def test_a_run_leaves_checkpoints_scores_and_its_configuration(tmp_path, capsys):
    options = ["trainer.max_steps=4", "trainer.val_check_interval=2", "callbacks.last.every_n_steps=2"]
    assert main([*TRAIN, *options, f"run_dir={tmp_path}"]) == 0
    assert sorted(curve(tmp_path)) == [0, 1, 2, 3]
    assert sorted(curve(tmp_path, "val/j_and_f")) == [1, 3]
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 4
    assert content["vosfw"]["version"] == 1 and content["vosfw"]["name"] == "demo"
    assert content["vosfw"]["model"]["key_dim"] == 8 and "_target_" in content["vosfw"]["engine"]

    # vosfw.load rebuilds the network from the file alone.
    model = hub.load(tmp_path / "checkpoints" / "last.ckpt")
    expected = {key.removeprefix("segmenter."): value for key, value in weights(tmp_path).items()}
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    assert model.default_engine is not None

    logged = yaml.safe_load((tmp_path / "csv" / "version_0" / "hparams.yaml").read_text())
    assert logged["code"]["vosfw"] and logged["model"]["key_dim"] == 8


def test_the_best_checkpoint_is_that_of_the_best_score(tmp_path):
    options = ["trainer.max_steps=48", "trainer.val_check_interval=16", "optimizer.lr=0.003"]
    assert main([*TRAIN, *options, f"run_dir={tmp_path}"]) == 0
    scores = {step: float(value) for step, value in curve(tmp_path, "val/j_and_f").items()}
    assert len(set(scores.values())) > 1
    content = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["global_step"] == max(scores, key=lambda step: scores[step]) + 1


def test_vosfw_train_is_the_same(tmp_path, capsys):
    a, b = tmp_path / "a", tmp_path / "b"
    options = [*TRAIN, "trainer.max_steps=2", "trainer.val_check_interval=2"]
    assert main([*options, f"run_dir={a}"]) == 0
    assert vosfw(["train", *options, f"run_dir={b}"]) == 0
    assert curve(a) == curve(b)
    assert all(torch.equal(weights(a)[key], value) for key, value in weights(b).items())


def test_seeds_change_the_run(tmp_path):
    for seed in (0, 1):
        options = ["trainer.max_steps=1", f"seed={seed}", "trainer.limit_val_batches=0", "~callbacks.best"]
        assert main([*TRAIN, *options, f"run_dir={tmp_path / str(seed)}"]) == 0
    assert curve(tmp_path / "0") != curve(tmp_path / "1")


def test_training_starts_from_given_weights(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    options = [*TRAIN, "trainer.limit_val_batches=0", "~callbacks.best", "trainer.max_steps=1"]
    assert main([*options, f"run_dir={first}"]) == 0
    start = f"weights={first}/checkpoints/last.ckpt"
    assert main([*options, start, "optimizer=sgd", "optimizer.lr=0", "seed=5", f"run_dir={second}"]) == 0
    assert all(torch.equal(weights(first)[key], value) for key, value in weights(second).items())


def test_training_starts_from_the_encoder_of_another_network(tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    options = [*TRAIN, "trainer.limit_val_batches=0", "~callbacks.best", "trainer.max_steps=1"]
    assert main([*options, f"run_dir={first}"]) == 0
    start = f"encoder_weights={first}/checkpoints/last.ckpt"
    still = ["optimizer=sgd", "optimizer.lr=0", "seed=5", "model.value_dim=16"]
    assert main([*options, start, *still, f"run_dir={second}"]) == 0
    given, result = weights(first), weights(second)
    encoder = {key for key in given if key.startswith("segmenter.encoder.")}
    assert encoder and all(torch.equal(given[key], result[key]) for key in encoder)
    assert not torch.equal(given["segmenter.key_proj.weight"], result["segmenter.key_proj.weight"])
    capsys.readouterr()
    assert main([*options, start, f"weights={first}/checkpoints/last.ckpt", f"run_dir={second}"]) in (1, 2)
    assert "choose one" in capsys.readouterr().err


def test_a_moving_average_is_one_override_away(tmp_path):
    options = ["callbacks=[default,ema]", "callbacks.ema.decay=0.5", "trainer.max_steps=2"]
    assert main([*TRAIN, *options, "trainer.val_check_interval=2", f"run_dir={tmp_path}"]) == 0
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    averaged, current = content["state_dict"], content["current_model_state"]
    assert any(not torch.equal(averaged[key], current[key]) for key in averaged)


def test_a_sweep_runs_every_choice(tmp_path):
    options = ["trainer.max_steps=1", "trainer.limit_val_batches=0", "~callbacks.best", "optimizer=adam,sgd"]
    assert main([*TRAIN, *options, f"hydra.sweep.dir={tmp_path}", "-m"]) == 0
    assert [list(curve(tmp_path / str(i))) for i in range(2)] == [[0], [0]]


@pytest.mark.parametrize("scheduler", ["constant", "step", "poly", "warmup_cosine"])
def test_every_scheduler_starts(tmp_path, scheduler):
    options = ["trainer.max_steps=1", "trainer.limit_val_batches=0", "callbacks.best=null", f"scheduler={scheduler}"]
    assert main([*TRAIN, *options, f"run_dir={tmp_path}"]) == 0


@pytest.mark.parametrize(
    ("override", "kind", "parts"),
    [
        ("model=stnc", "ConfigError", ["model=stnc", "did you mean stcn"]),
        ("trainer.max_step=3", "ConfigError", ["trainer.max_step", "did you mean trainer.max_steps"]),
        ("max_steps=3", "ConfigError", ["did you mean trainer.max_steps"]),
        ("optimizer.lr", "ConfigError", ["optimizer.lr"]),
        ("trainer.precision=12", "ConfigError", ["12"]),
        ("+model.depth=3", "ConfigError", ["depth"]),
        ("engine.merge=magic", "ConfigError", ["engine.merge", "overwrite"]),
        ("data=folder", "ConfigError", ["data.root"]),
        ("data.batch_size=0", "ConfigError", ["batch_size"]),
        ("weights=nowhere.ckpt", "CheckpointError", ["nowhere.ckpt"]),
        ("encoder_weights=nowhere.safetensors", "CheckpointError", ["nowhere.safetensors", "Check the path"]),
    ],
)
def test_bad_options_get_one_clear_message(tmp_path, capsys, override, kind, parts):
    options = [option for option in TRAIN if option not in DATA] if override.startswith("data=") else TRAIN
    assert main([*options, override, f"run_dir={tmp_path}"]) in (1, 2)
    message = capsys.readouterr().err
    assert f"vosfw: {kind}" in message and all(part in message for part in parts), message
    assert "Traceback" not in message and "Config search path" not in message
    assert len(message) < 1000


def test_an_unwritable_run_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main([*TRAIN, f"run_dir={tmp_path}/file/run"]) == 2
    assert "OutputError" in capsys.readouterr().err


def test_the_users_arguments_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["vosfw", "train", "a=b"])
    assert main(["--cfg", "job", *NETWORK]) == 0
    assert sys.argv == ["vosfw", "train", "a=b"]


def test_further_processes_start_from_a_script(monkeypatch, tmp_path):
    (tmp_path / "train.py").write_text("")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py")])
    assert launch.script_of("fallback.py") == str(tmp_path / "train.py")
    monkeypatch.setattr(sys, "argv", ["/usr/bin/vosfw"])
    assert launch.script_of("fallback.py") == "fallback.py"


def test_the_version_of_the_code_is_known():
    import vosfw

    version = code_version()
    assert version["vosfw"] == vosfw.__version__
    assert set(version) <= {"vosfw", "commit"} and len(version.get("commit", "0" * 40).removesuffix("+changes")) == 40


def test_checkpoints_ask_for_no_download():
    model = {"encoder": {"pretrained": True, "parts": [{"pretrained": "imagenet", "depth": 2}]}, "top_k": 20}
    assert without_downloads(model) == {
        "encoder": {"pretrained": False, "parts": [{"pretrained": False, "depth": 2}]},
        "top_k": 20,
    }
