import json

import pytest
import torch
from layouts import make_own
from runs import NETWORK, QUIET, weights

from vosfw import hub
from vosfw.cli.before_after import judge, to_text
from vosfw.cli.train import main
from vosfw.config import compose
from vosfw.module import VOSModule

TINY = [
    "experiment=finetune",
    "data.batch_size=2",
    "data.num_workers=0",
    "data.sampler.clip_frames=2",
    "data.augment.crop=[32,48]",
    "data.augment.min_pixels=1",
    "data.train.parts.synthetic.size=[32,48]",
    "data.train.parts.synthetic.videos=4",
    "data.test.videos=1",
    "data.test.size=[32,48]",
    "data.test.length=4",
    "engine.short_side=null",
    "trainer.max_steps=4",
    "trainer.val_check_interval=2",
    "callbacks.last.every_n_steps=2",
    *QUIET,
    "logger=csv",
    "trainer.log_every_n_steps=1",
]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return make_own(tmp_path_factory.mktemp("own"), 3)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A small network as safetensors."""
    config = compose(NETWORK)
    model = hub.load(config.model)
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    hub.save(path, model.state_dict(), "demo", config.model, config.engine)
    return path


def note(run_dir):
    return json.loads((run_dir / "before_after.json").read_text())


def test_from_safetensors_and_on_from_its_checkpoint(tmp_path, own, capsys):
    """The network, its options and its engine are the file's; overrides apply on top; parts are frozen."""
    first, second = tmp_path / "first", tmp_path / "second"
    options = [*TINY, f"data.root={own}", "freeze=[encoder.*]", "+layer_lr={decoder.*:0.5}"]
    assert main([*options, f"run_dir={first}"]) == 0
    embedded, stored = (hub.read_checkpoint(path) for path in (hub.EMBEDDED, first / "checkpoints" / "best.ckpt"))
    assert stored.name == "embedded" and stored.model["memory"] == embedded.model["memory"]
    assert stored.engine["policy"]["every"] == 3 and stored.engine["confidence"] == embedded.engine["confidence"]
    before, after = hub.read_checkpoint(first / "checkpoints" / "before.safetensors").weights, weights(first)
    assert all(torch.equal(before[name].to(value.dtype), value) for name, value in embedded.weights.items())
    # The moving average of what stands still is that but for roundings.
    moved = {name for name, value in before.items() if not torch.allclose(after[f"segmenter.{name}"], value, 1e-6, 0)}
    assert any(name.startswith("decoder.") for name in moved) and any("running_" in name for name in before)
    assert not any(name.startswith("encoder.") or "running_" in name for name in moved)

    found = note(first)
    assert found["sets"] == {"val": "your videos", "test": "synthetic"} and found["step"] in (2, 4)
    assert all(0 < found[when][stage]["j_and_f"] < 1 for when in ("before", "after") for stage in ("val", "test"))
    assert list(found["after"]["val"]["videos"]) == list(found["before"]["val"]["videos"])

    best = first / "checkpoints" / "best.ckpt"
    assert (
        main([*options, f"ckpt_path={best}", "model.memory.top_k=3", "trainer.max_steps=2", f"run_dir={second}"]) == 0
    )
    assert note(second)["before"]["test"]["j_and_f"] != found["after"]["test"]["j_and_f"]
    assert hub.read_checkpoint(second / "checkpoints" / "best.ckpt").model["memory"]["top_k"] == 3
    text = capsys.readouterr().out
    assert "the rest" in text and "frozen" in text and "before" in text and "model.memory.top_k: 5, here 3" in text


def test_nothing_gained_stops_early_and_says_so(tmp_path, own, capsys):
    still = ["optimizer=sgd", "optimizer.lr=0.0", "callbacks.early_stopping.patience=2", "trainer.max_steps=20"]
    assert main([*TINY, f"data.root={own}", *still, f"run_dir={tmp_path}"]) == 0
    text, found = capsys.readouterr().out, note(tmp_path)
    assert "stopped at step 4: no rise in 2 validations" in text and "did not help" in text
    assert found["better"].endswith("before.safetensors")
    assert found["after"] == found["before"] and found["before"]["val"]["j_and_f"] > 0


def test_a_killed_run_goes_on(tmp_path, own, monkeypatch, capsys):
    """Also the comparison, whose first half was made before."""

    class Killed(BaseException):
        pass

    def kill(module, *arguments):
        if module.global_step == 3:
            raise Killed
        return step(module, *arguments)

    step = VOSModule.training_step
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run = [*TINY, f"data.root={own}", "data.train.ratios.synthetic=0", "+layer_lr={key_proj.*:0.1}"]
    assert main([*run, f"run_dir={whole}"]) == 0
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(VOSModule, "training_step", kill)
        main([*run, "model.memory.top_k=20", f"run_dir={broken}"])
    assert list(note(broken)) == ["sets", "before"]
    assert main([*run, "ckpt_path=last", f"run_dir={broken}"]) == 0
    # The killed run's own options hold, which do not matter in training.
    assert hub.read_checkpoint(broken / "checkpoints" / "last.ckpt").model["memory"]["top_k"] == 20
    assert note(broken)["before"] != note(whole)["before"] and "after" in note(broken)
    expected, got = weights(whole), weights(broken)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-6)
    (broken / "before_after.json").unlink()
    assert main([*run, "ckpt_path=last", f"run_dir={broken}"]) == 1
    assert "has no scores of the start weights on val and test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["ckpt_path=nowhere.ckpt"], "no checkpoint at"),
        (["ckpt_path={folder}"], "is a folder; name a file, such as"),
        (["ckpt_path={file}"], "checkpoint that can be read"),
        (["ckpt_path={start}", "model=stcn"], "belongs to another composition: 'demo', but this run has 'stcn'"),
        (["ckpt_path={start}", "weights={start}"], "leave weights"),
        (["ckpt_path={start}", "start=anew"], "wanted resume or weights"),
        (["ckpt_path={start}", "freeze=[encodr.*]"], "did you mean encoder.*"),
        (["ckpt_path={start}", "trainer.val_check_interval=50"], "trainer.val_check_interval <= trainer.max_steps"),
        (["ckpt_path={start}", "before_after.val=null"], "wanted {val: NAME"),
        (["ckpt_path=last"], "name the run to go on with, run_dir=RUN"),
        (["ckpt_path=last", "run_dir={folder}"], "no checkpoint to resume from"),
        (["ckpt_path=last", "-m"], "in a sweep"),
    ],
)
def test_what_cannot_be_started_is_one_line(tmp_path, own, start, capsys, overrides, message):
    (tmp_path / "file.ckpt").write_text("no checkpoint")
    places = {"start": start, "folder": start.parent, "file": tmp_path / "file.ckpt"}
    given = [override.format(**places) for override in overrides]
    home = f"output_dir={tmp_path}/out"
    assert main([*TINY, f"data.root={own}", home, *given]) in (1, 2)
    text = capsys.readouterr().err
    assert message in text and "Traceback" not in text and len(text.strip().splitlines()) == 1, text


def found(old, new, test_old=0.9, test_new=0.85):
    values = {"before": (old, test_old), "after": (new, test_new)}
    return {
        when: {
            stage: {"j_and_f": value, "j": value, "f": None} for stage, value in zip(("val", "test"), pair, strict=True)
        }
        for when, pair in values.items()
    } | {"step": 50}


def test_the_verdict(tmp_path):
    names = {"val": "mine", "test": "synthetic"}
    start, best = tmp_path / "before.safetensors", tmp_path / "best.ckpt"
    better = judge(found(0.5, 0.6), names, start, best)
    assert better.better == str(best) and "by 0.100" in better.text and "synthetic: -0.050, forgotten" in better.text
    for old, new in ((0.6, 0.6), (0.6, 0.5)):
        worse = judge(found(old, new), names, start, best)
        assert worse.better == str(start) and "did not help" in worse.text
    assert "no telling" in judge(found(None, 0.5), names, start, best).text
    lines = to_text(found(0.5, 0.6), names).splitlines()
    assert [line.split()[-3:] for line in lines[1:3]] == [["0.500", "0.500", "-"], ["0.600", "0.600", "-"]]
    assert "after, step 50" in lines[2] and len(lines) == 5
