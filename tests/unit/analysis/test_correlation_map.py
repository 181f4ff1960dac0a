import pytest
import torch
from doubles import KeyDouble
from scenes import ToyVideo
from small_matching import small_matching

from vosfw.analysis import correlation_map, draw_correlation
from vosfw.errors import ConfigError
from vosfw.model.matching_network import MatchingNetwork

AOC = ["1: references", "1: previous", "16: references", "16: previous"]


@pytest.mark.parametrize("model", ["aoc", "rpcm"])
def test_maps_are_those_of_the_matcher(model, monkeypatch):
    network, video = small_matching(model), ToyVideo(frames=5, late={1: 2})
    results = correlation_map(network, video, frames=(1, 2, 4))
    assert [item.frame for item in results] == [1, 2, 4]
    # What the ensembler got, frame by frame; frame 2 was still predicted without the new object.
    got = []
    ensemble = MatchingNetwork._ensemble

    def watched(self, features, state):
        got.append(
            self.matcher(features.levels[0][:, 0], self.pool.indices(state.references), state.previous, valid(state))
        )
        return ensemble(self, features, state)

    def valid(state):
        return torch.nn.functional.pad(state.valid, (1, 0), value=True)

    monkeypatch.setattr(MatchingNetwork, "_ensemble", watched)
    with torch.no_grad():
        list(network.default_engine.run(network, video, "cpu"))
    for item, frame, objects in zip(results, (1, 2, 4), (2, 2, 3), strict=True):
        assert item.classes == tuple(range(objects))
        assert item.maps.shape == (objects, len(item.names), 9, 9) == (objects, network.matcher.out_channels, 9, 9)
        torch.testing.assert_close(item.maps, got[frame - 1][0])


def test_names():
    names = correlation_map(small_matching("aoc"), ToyVideo(frames=2), frames=[1])[0].names
    assert [*names[:4], names[4], names[5]] == [*AOC, "pixel: references", "pixel: previous within 12"]
    assert names[11] == "pixel: mask" and names[-1] == "pixel: others in references"


def test_named_maps_hold_what_they_say():
    network, video = small_matching("aoc"), ToyVideo(frames=3)
    item = correlation_map(network, video, frames=[1])[0]
    by_name = dict(zip(item.names, item.maps.unbind(1), strict=True))
    given = torch.nn.functional.interpolate(video.labels[:1, None].float(), (9, 9), mode="nearest")[0, 0]
    assert torch.equal(by_name["pixel: mask"], torch.stack([(given == k).float() for k in range(3)]))
    # One proxy is farther than the nearest of many cells.
    assert (by_name["1: references"] >= by_name["pixel: references"] - 1e-4).float().mean() > 0.9
    # Reference and frame before are the same frame.
    torch.testing.assert_close(by_name["16: references"], by_name["16: previous"])
    # A wider window finds something nearer.
    assert (by_name["pixel: previous within 12"] <= by_name["pixel: previous within 2"]).all()


def test_a_primed_network_shows_the_frames_own_maps():
    network, video = small_matching("aoc"), ToyVideo(frames=4, late={1: 2})
    plain = correlation_map(network, video, frames=[2])[0]
    network.correction = "reference"
    try:
        primed = correlation_map(network, video, frames=[2])[0]
    finally:
        network.correction = "first_predicted"
    assert primed.classes == plain.classes == (0, 1)


def test_picture_and_choice():
    video = ToyVideo(frames=3)
    results = correlation_map(small_matching("aoc"), video, frames=[2])
    sheet = draw_correlation(video, results, height=32)
    assert sheet.shape == (3, 3 * (16 + 32 + 4) + 16 + 4 - 4, 7 * 44 - 4)
    tile = sheet[:, 16:48, 44:84].float().sum(0)
    alike = results[0].maps[0, 0]
    best, worst = (divmod(int(i), 9) for i in (alike.argmin(), alike.argmax()))
    value = torch.nn.functional.interpolate(tile[None, None], (9, 9), mode="nearest-exact")[0, 0]
    assert value[best] > value[worst]
    two = draw_correlation(video, results, names=["16: references", "pixel: mask"], height=32)
    assert two.shape[2] == 3 * 44 - 4
    with pytest.raises(ConfigError, match="no map 3: references; wanted some of 1: references"):
        draw_correlation(video, results, names=["3: references"])


def test_refusals():
    with pytest.raises(ConfigError, match="needs a network with a matcher, which this KeyDouble has not"):
        correlation_map(KeyDouble(), ToyVideo(frames=3), frames=[1])
    with pytest.raises(ConfigError, match=r"none of the frames \[0\] is predicted"):
        correlation_map(small_matching("aoc"), ToyVideo(frames=3), frames=[0])


def test_nothing_stays_behind():
    network = small_matching("aoc")
    correlation_map(network, ToyVideo(frames=2), frames=[1])
    assert not any(module._forward_hooks for module in network.modules())
