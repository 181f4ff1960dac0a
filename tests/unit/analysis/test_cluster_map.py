import pytest
import torch
from doubles import KeyDouble
from scenes import ToyVideo
from small_matching import small_matching

from vosfw.analysis import cluster_map, draw_clusters
from vosfw.analysis.clusters import _group, _numbers
from vosfw.errors import ConfigError
from vosfw.model.matching_network import one_hot_cells
from vosfw.model.proxy.kmeans import KMeansProxies
from vosfw.ops.kmeans import kmeans
from vosfw.ops.proxies import Proxies


def test_each_cell_has_a_cluster_of_its_own_object():
    network, video = small_matching("aoc"), ToyVideo(frames=5, late={1: 2})
    results = cluster_map(network, video, frames=(0, 2, 4), counts=(1, 4))
    assert [item.frame for item in results] == [0, 2, 4]
    for item, objects in zip(results, (2, 3, 3), strict=True):
        assert item.counts == (1, 4)
        assert item.owner.shape == item.clusters[0].shape == (9, 9)
        assert set(item.owner.unique().tolist()) <= set(range(objects))
        assert not item.clusters[0].any()
        for label in item.owner.unique().tolist():
            cells = item.clusters[1][item.owner == label]
            assert 0 <= cells.min() and cells.max() < 4
            assert len(cells.unique()) == min(4, len(cells))
    given = torch.nn.functional.interpolate(video.labels[:1, None].float(), (9, 9), mode="nearest")[0, 0]
    assert torch.equal(results[0].owner.float(), torch.where(given == 1, 1.0, 0.0))


def test_clusters_are_those_of_kmeans():
    network, video = small_matching("aoc"), ToyVideo(frames=3)
    item = cluster_map(network, video, frames=[0], counts=[3])[0]
    stream = network.default_engine.stream(network, video.size)
    with torch.no_grad():
        embedding = network.encode(stream.place_frames(video.frame(0)[None])[:, None]).levels[0][:, 0]
    points, owner = embedding.flatten(2).transpose(1, 2), item.owner.long().flatten()[None]
    found = kmeans(points, owner, 3, 3).cluster[0].reshape(9, 9)
    # Numbers may be others, not the sets.
    for label in range(3):
        own = item.owner == label
        pairs = torch.stack([found[own], item.clusters[0][own]]).unique(dim=1)
        assert pairs.shape[1] == 3


def test_the_networks_own_counts():
    results = cluster_map(small_matching("aoc"), ToyVideo(frames=2), frames=[1])
    assert results[0].counts == (16,)


def test_a_part_keeps_its_number():
    owner = torch.zeros(1, 4, dtype=torch.long)
    one = torch.tensor([0.0, 1.0, 5.0, 9.0])[None, None, None]
    centers = torch.tensor([0.5, 5.0, 9.0])[None, None, :, None]
    used = torch.ones(1, 1, 3, dtype=torch.bool)
    known = {}
    assert _group(one, owner, Proxies(centers, used), known, 3).tolist() == [[0, 0, 1, 2]]
    # The same parts, moved a little and found in another order.
    moved = Proxies(centers[:, :, [2, 0, 1]] + 0.2, used)
    assert _group(one + 0.2, owner, moved, known, 3).tolist() == [[0, 0, 1, 2]]
    # One is out of sight, and comes back.
    two = Proxies(centers[:, :, [2, 1, 0]], torch.tensor([[[True, True, False]]]))
    assert _group(one, owner, two, known, 3).tolist() == [[1, 1, 1, 2]]
    assert _group(one, owner, Proxies(centers, used), known, 3).tolist() == [[0, 0, 1, 2]]


def test_nearest_pairs_first():
    assert _numbers(torch.tensor([[3.0, 1.0, torch.inf], [2.0, 0.5, torch.inf]])).tolist() == [0, 1]
    assert sorted(_numbers(torch.full((3, 3), torch.inf)).tolist()) == [0, 1, 2]


def test_any_matching_network_with_proxies_given():
    item = cluster_map(small_matching("rpcm"), ToyVideo(frames=3), frames=[2], counts=[4], proxies=KMeansProxies())[0]
    assert item.clusters[0].max() == 3


def test_nothing_stays_behind():
    network, video = small_matching("aoc"), ToyVideo(frames=3)
    one, other = (cluster_map(network, video, frames=[0, 2])[1] for _ in range(2))
    assert torch.equal(one.clusters[0], other.clusters[0])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_picture():
    video = ToyVideo(frames=3)
    results = cluster_map(small_matching("aoc"), video, frames=[0], counts=[2, 4])
    plain, full = (draw_clusters(video, results, background=b, height=32) for b in (False, True))
    assert plain.shape == full.shape == (3, 16 + 32, 3 * 44 - 4)
    clusters = plain[:, 16:, 44:84].float()
    inside = torch.nn.functional.interpolate(results[0].owner[None, None].float(), (32, 40), mode="nearest-exact")[0, 0]
    tinted = (clusters.amax(0) - clusters.amin(0)) > 20
    assert tinted[inside > 0].any() and not tinted[inside == 0].any()
    assert len(clusters[:, tinted].unique(dim=1)[0]) > 2
    assert (full[:, 16:, 44:84].float() != clusters).any()


@pytest.mark.parametrize(
    ("network", "options", "said"),
    [
        (KeyDouble(), {}, "matches embeddings; this is a KeyDouble"),
        (small_matching("rpcm"), {}, "needs a network with proxies"),
        (small_matching("rpcm"), {"proxies": KMeansProxies()}, r"counts is \[\]"),
        (small_matching("aoc"), {"counts": [4, 0]}, r"counts is \[4, 0\]"),
        (small_matching("aoc"), {"frames": [7]}, r"none of the frames \[7\] is segmented"),
    ],
)
def test_refusals(network, options, said):
    with pytest.raises(ConfigError, match=said):
        cluster_map(network, ToyVideo(frames=3), **{"frames": [1], **options})


def test_masks_are_those_that_are_remembered():
    network, video = small_matching("aoc"), ToyVideo(frames=3)
    item = cluster_map(network, video, frames=[2])[0]
    with torch.no_grad():
        step = [*network.default_engine.run(network, video, "cpu")][2]
    assert torch.equal(item.owner.long(), one_hot_cells(step.masks, (9, 9))[0].argmax(0))
