import signal

import pytest
import torch
from runs import TRAIN, command, curve, weights

from vosfw.cli.train import main
from vosfw.module import VOSModule

# Epochs of four batches; checkpoints after 5 and 10 steps, in the midst of an epoch; killed at 7.
RUN = [*TRAIN, "trainer.max_steps=10", "trainer.val_check_interval=5", "callbacks.last.every_n_steps=5"]


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, one_thread):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main([*RUN, f"run_dir={whole}"]) == 0
    killed = command(
        "train.py",
        *RUN,
        f"run_dir={broken}",
        "+callbacks.killer._target_=killer.Killer",
        "+callbacks.killer.step=7",
        "+logger.flush_logs_every_n_steps=1",
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert max(curve(broken)) < 9
    assert main([*RUN, f"run_dir={broken}", "ckpt_path=last"]) == 0

    assert min(curve(broken / "csv" / "version_1", pattern="metrics.csv")) == 5, "it did not resume, but start anew"
    assert len(curve(whole)) == 10
    assert curve(broken) == curve(whole)
    assert curve(broken, "val/j_and_f") == curve(whole, "val/j_and_f")
    assert curve(broken, "lr-AdamW") == curve(whole, "lr-AdamW")
    expected, got = weights(whole), weights(broken)
    assert expected.keys() == got.keys()
    assert all(torch.equal(got[key], expected[key]) for key in expected)


def test_a_run_killed_in_validation_repeats_the_validation(tmp_path, one_thread, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*arguments):
        raise Killed

    base = [*RUN, f"run_dir={tmp_path}", "callbacks.last.every_n_steps=1"]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(VOSModule, "on_validation_epoch_end", kill)
        main(base)
    assert not curve(tmp_path, "val/j_and_f")
    assert main([*base, "ckpt_path=last"]) == 0
    assert sorted(curve(tmp_path, "val/j_and_f")) == [4, 9]


def test_last_finds_the_newest_run(tmp_path, one_thread, caplog):
    base = [*TRAIN, "callbacks.last.every_n_steps=2", f"output_dir={tmp_path}", "trainer.limit_val_batches=0"]
    base += ["~callbacks.best"]
    assert main([*base, "trainer.max_steps=2", f"run_dir={tmp_path}/train/a"]) == 0
    assert main([*base, "trainer.max_steps=2", f"run_dir={tmp_path}/train/b"]) == 0
    assert main([*base, "trainer.max_steps=4", "ckpt_path=last"]) == 0
    assert sorted(curve(tmp_path / "train" / "b")) == [0, 1, 2, 3]
    assert sorted(curve(tmp_path / "train" / "a")) == [0, 1]


@pytest.mark.parametrize("override", ["ckpt_path=last", "ckpt_path=nowhere.ckpt"])
def test_nothing_to_resume_is_said(tmp_path, capsys, override):
    assert main([*TRAIN, override, f"output_dir={tmp_path}"]) != 0
    message = capsys.readouterr().err
    assert "CheckpointError" in message and "run_dir=" in message
    assert "Traceback" not in message


def test_another_composition_is_refused(tmp_path, capsys, one_thread):
    base = [*TRAIN, "trainer.limit_val_batches=0", "~callbacks.best", f"run_dir={tmp_path}"]
    assert main([*base, "trainer.max_steps=1", "callbacks.last.every_n_steps=1"]) == 0
    capsys.readouterr()
    assert main([*base, "model.key_dim=16", "ckpt_path=last"]) == 1
    message = capsys.readouterr().err
    assert "another composition" in message and "model.key_dim: 8, here 16" in message
    assert "Traceback" not in message
