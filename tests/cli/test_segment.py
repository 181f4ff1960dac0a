"""The commands `segment` and `models`, as a user runs them."""

import json

import pytest
import torch
from scenes import ToyVideo

from vosfw.cli.main import main
from vosfw.config import compose, instantiate_model
from vosfw.data.io import VideoFile, read_mask, write_mask, write_video
from vosfw.engine.corrector import GradientCorrector
from vosfw.engine.engine import Engine
from vosfw.hub import load, save


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A checkpoint, an mp4 and two masks."""
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    config = compose(["model=demo"])
    save(folder / "demo.safetensors", instantiate_model(config.model).state_dict(), "demo", config.model, config.engine)
    video = ToyVideo(frames=7, objects=2, size=(48, 64), late={1: 3})
    with write_video(folder / "in.mp4", 10.0, (48, 64)) as writer:
        for t in range(7):
            writer.add(video.frame(t))
    write_mask(folder / "a.png", video.given_mask(0))
    write_mask(folder / "b.png", video.given_mask(3))
    return folder


def command(clip, out, *more):
    return ["segment", str(clip / "in.mp4"), "--model", str(clip / "demo.safetensors"), "--out", str(out), *more]


def test_masks_and_overlay(clip, tmp_path, capsys):
    masks = ["--masks", str(clip / "a.png"), "--at", "0", "--masks", str(clip / "b.png"), "--at", "3"]
    more = ["--overlay", str(tmp_path / "o.mp4"), "--size", "48", "--device", "cpu"]
    assert main(command(clip, tmp_path / "out", *masks, *more)) == 0
    said = capsys.readouterr()
    assert "7 masks of objects 1, 2" in said.out
    assert "frame/s" in said.err or "s/frame" in said.err
    assert len(list((tmp_path / "out").glob("*.png"))) == 7
    assert 2 not in read_mask(tmp_path / "out" / "00002.png")
    assert 2 in read_mask(tmp_path / "out" / "00003.png")
    assert len(VideoFile(tmp_path / "o.mp4")) == 7


def test_options_of_the_engine(clip, tmp_path, monkeypatch):
    seen = []
    run = Engine.stream
    monkeypatch.setattr(Engine, "stream", lambda self, *a, **k: seen.append(self) or run(self, *a, **k))
    options = [
        "--set",
        "engine.clip_length=3",
        "--set",
        "engine.precision=bfloat16",
        "--set",
        "engine/corrector=gradient",
    ]
    assert main(command(clip, tmp_path / "out", "--masks", str(clip / "a.png"), *options, "--quiet")) == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 7
    assert {(engine.clip_length, engine.precision, engine.policy.every) for engine in seen} == {(3, "bfloat16", 5)}
    assert all(isinstance(engine.corrector, GradientCorrector) for engine in seen)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--masks", "nowhere.png"], "nowhere.png"),
        (["--masks", "{clip}/a.png", "--masks", "{clip}/b.png"], "one --at per --masks"),
        (["--masks", "{clip}/a.png", "--at", "99"], "from 0 (00000) to 6"),
        (["--masks", "{clip}/a.png", "--size", "3"], "--size is 3"),
        (["--masks", "{clip}/a.png", "--set", "engine.clip_lenth=3"], "clip_length"),
        (["--masks", "{clip}/a.png", "--set", "model=stcn"], "no engine option"),
        (["--masks", "{clip}/a.png", "--set", "engine.precision=int8"], "wanted float32 or bfloat16"),
        (["--masks", "{clip}/a.png", "--at", "1", "--masks", "{clip}/b.png", "--at", "1"], "names a frame twice"),
    ],
)
def test_mistakes_are_explained(clip, tmp_path, capsys, more, said):
    assert main(command(clip, tmp_path / "out", *(part.format(clip=clip) for part in more))) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_the_embedded_network_is_the_default(clip, tmp_path, capsys):
    arguments = ["segment", str(clip / "in.mp4"), "--masks", str(clip / "a.png"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--size", "64"]) == 0
    assert "7 masks of objects 1" in capsys.readouterr().out


def test_both_directions_and_masks_to_be_resized(clip, tmp_path, capsys):
    write_mask(tmp_path / "small.png", torch.ones(24, 32, dtype=torch.uint8))
    masks = ["--masks", str(tmp_path / "small.png"), "--at", "4", "--size", "48"]
    assert main(command(clip, tmp_path / "no", *masks)) == 1
    assert "is 24x32" in capsys.readouterr().err
    assert main(command(clip, tmp_path / "one", *masks, "--resize-masks")) == 0
    assert "4 frames before the first mask were not segmented" in capsys.readouterr().out
    assert main(command(clip, tmp_path / "two", *masks, "--resize-masks", "--both", "--resume")) == 0
    assert len(list((tmp_path / "two").glob("*.png"))) == 7


def test_a_checkpoint_is_exported_with_other_options(clip, tmp_path, capsys):
    out = tmp_path / "small.safetensors"
    options = ["--half", "--name", "mine", "--set", "engine.short_side=64", "--set", "engine.policy.every=2"]
    assert main(["export", str(clip / "demo.safetensors"), str(out), *options]) == 0
    assert "million parameters" in capsys.readouterr().out
    model = load(out)
    assert (model.default_engine.short_side, model.default_engine.policy.every) == (64, 2)
    assert model.composition["name"] == "mine"
    assert out.stat().st_size < 0.6 * (clip / "demo.safetensors").stat().st_size
    assert main(["export", str(clip / "demo.safetensors"), str(out), "--set", "engine.shortside=64"]) == 1
    assert "shortside" in capsys.readouterr().err


def test_an_unknown_command_lists_the_known(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["segmnt"])
    assert stop.value.code == 2
    assert "segment" in capsys.readouterr().err


def test_models(capsys):
    assert main(["models"]) == 0
    assert "(Cheng, Tai, Tang, NeurIPS 2021)" in capsys.readouterr().out
    assert main(["models", "--json"]) == 0
    cards = {card["name"]: card for card in json.loads(capsys.readouterr().out)}
    assert cards["stcn"]["parameters"] > 5e7
