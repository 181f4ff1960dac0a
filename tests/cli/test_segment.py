"""The commands `segment` and `models`, as a user runs them."""

import json

import pytest
import torch
from scenes import ToyVideo

from vosfw.cli.main import main
from vosfw.config import compose, instantiate_model
from vosfw.data.io import VideoFile, read_mask, write_mask, write_video
from vosfw.hub import save


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


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--masks", "nowhere.png"], "nowhere.png"),
        (["--masks", "{clip}/a.png", "--masks", "{clip}/b.png"], "one --at per --masks"),
        (["--masks", "{clip}/a.png", "--at", "99"], "from 0 (00000) to 6"),
        (["--masks", "{clip}/a.png", "--size", "3"], "--size is 3"),
        (["--masks", "{clip}/a.png", "--at", "1", "--masks", "{clip}/b.png", "--at", "1"], "names a frame twice"),
    ],
)
def test_mistakes_are_explained(clip, tmp_path, capsys, more, said):
    assert main(command(clip, tmp_path / "out", *(part.format(clip=clip) for part in more))) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_without_weights_the_remedy_is_told(clip, tmp_path, capsys):
    arguments = ["segment", str(clip / "in.mp4"), "--masks", str(clip / "a.png"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert "--model" in capsys.readouterr().err


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
