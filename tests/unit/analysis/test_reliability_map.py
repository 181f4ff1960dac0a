import pytest
import torch
from doubles import KeyDouble
from PIL import Image
from scenes import ToyVideo
from small_matching import small_matching

from vosfw.analysis import contact_sheet, draw_reliability, reliability_map, write_picture
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.engine.reliability import EntropyReliability, entropy
from vosfw.errors import ConfigError


def test_maps_are_those_of_the_engine():
    network, video = small_matching(), ToyVideo(frames=5, late={1: 2})
    engine = network.default_engine.replace(reliability=EntropyReliability(0.5))
    maps = {item.frame: item for item in reliability_map(network, video, engine)}
    assert list(maps) == [0, 1, 2, 3, 4]
    geometry = engine.geometry(video.size, network.grid)
    with torch.no_grad():
        for step in engine.run(network, video, "cpu"):
            item = maps[step.frame]
            amount = entropy(step.masks.probs, step.masks.valid)[0, 0]
            torch.testing.assert_close(item.entropy, amount.clamp_min(0))
            assert torch.equal(item.trusted, amount <= 0.5)
            assert torch.equal(item.labels, engine.labels(step, geometry)[0])
    assert maps[0].trusted.all()


def test_only_the_frames_asked_for_are_run():
    network, video = small_matching(), ToyVideo(frames=6)
    read = []
    frame = video.frame
    video.frame = lambda index: read.append(index) or frame(index)
    assert [item.frame for item in reliability_map(network, video, frames=(1, 3))] == [1, 3]
    assert max(read) <= 4


def test_share_of_the_largest_entropy():
    plain, share = (
        next(reliability_map(small_matching(), ToyVideo(frames=3), frames=[2], normalize=n)).entropy
        for n in (False, True)
    )
    torch.testing.assert_close(share, plain / torch.log(torch.tensor(3.0)))


def test_a_memory_network_on_a_padded_grid():
    engine = Engine(policy=IntervalPolicy(2))
    video = ToyVideo(frames=4, size=(30, 37))
    for item in reliability_map(KeyDouble().eval(), video, engine):
        assert item.entropy.shape == item.trusted.shape == video.size
        assert item.trusted.all()


def test_gradients_stay_on_between_the_frames():
    for item in reliability_map(small_matching(), ToyVideo(frames=2)):
        assert torch.is_grad_enabled()
        assert not item.entropy.requires_grad


def test_picture(tmp_path):
    video = ToyVideo(frames=3)
    maps = list(reliability_map(small_matching(), video))
    maps[1].trusted[:] = False
    sheet = draw_reliability(video, maps, columns=2, height=20)
    assert sheet.shape == (3, 4 * 24 - 4, 2 * 29 - 4)
    marked = sheet[:, 24:44, 29:].float().mean((1, 2))
    assert marked[0] > 150 and marked[2] > 150 and marked[1] < 80
    write_picture(tmp_path / "sheet.png", sheet)
    assert Image.open(tmp_path / "sheet.png").size == (sheet.shape[2], sheet.shape[1])


def test_no_tile():
    with pytest.raises(ConfigError, match="0 tiles"):
        contact_sheet([], 2)


def test_captions_stand_above_the_tiles():
    tiles = [torch.zeros(3, 10, 60, dtype=torch.uint8)] * 2
    sheet = contact_sheet(tiles, 2, height=10, captions=["one", ""])
    assert sheet.shape == (3, 16 + 10, 2 * 60 + 4)
    assert (sheet[:, :16, :60] < 128).any() and (sheet[:, :16, 60:] == 255).all()
    assert (sheet[:, 16:, :60] == 0).all()
    with pytest.raises(ConfigError, match="1 captions for 2 tiles"):
        contact_sheet(tiles, 2, captions=["one"])
