import pytest
import torch
from doubles import KeyDouble
from scenes import ToyVideo
from small_matching import small_matching

from vosfw.analysis import draw_embeddings, embedding_pca
from vosfw.analysis.embedding import SPREAD, _project
from vosfw.errors import ConfigError

STAGES = {
    "p2c": ("input", "blocks.0", "blocks.1"),
    "p2p2p": ("input", "blocks.0", "blocks.1", "blocks.2"),
    "p_and_c": ("input", "blocks.0", "blocks.1", "fuse"),
}


@pytest.mark.parametrize("name", STAGES)
def test_a_map_per_stage(name):
    network, video = small_matching(modulator=name), ToyVideo(frames=5, late={1: 2})
    results = embedding_pca(network, video, frames=(1, 4))
    assert [item.frame for item in results] == [1, 4]
    for item, classes in zip(results, (2, 3), strict=True):
        assert item.stages == STAGES[name]
        assert item.classes == tuple(range(classes))
        assert all(part.shape == (classes, 3, 5, 5) for part in item.maps)
        assert all(part.min() >= 0 and part.max() <= 1 for part in item.maps)
        assert item.explained.shape == (len(item.stages), 3)
        assert (item.explained.diff(dim=1) <= 0).all() and (item.explained.sum(1) <= 1 + 1e-5).all()
    sheet = draw_embeddings(video, results, height=20)
    assert sheet.shape == (3, 5 * 24 - 4, (1 + len(STAGES[name])) * 29 - 4)


def test_every_run_gives_the_same_and_leaves_the_network_alone():
    network, video = small_matching(), ToyVideo(frames=3)
    one, other = (embedding_pca(network, video, frames=[2])[0] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.maps, other.maps, strict=True))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_components_are_those_of_the_svd():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 8, 6, 7, generator=generator) * torch.arange(1, 9)[:, None, None] ** 2
    colours, explained = _project([maps[:, :, :3], maps[:, :, 3:]])
    rows = maps.movedim(1, -1).reshape(-1, 8)
    rows = rows - rows.mean(0)
    _, values, axes = torch.linalg.svd(rows, full_matrices=False)
    torch.testing.assert_close(explained, values[:3] ** 2 / values.square().sum())
    wanted = rows @ axes[:3].T / values[:3] * len(rows) ** 0.5
    got = (torch.cat(colours, 2).movedim(1, -1).reshape(-1, 3) - 0.5) * 2 * SPREAD
    inside = (got.abs() < SPREAD - 0.01).all(1)
    torch.testing.assert_close(got[inside].abs(), wanted[inside].abs(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("network", [KeyDouble(), small_matching(modulator="none")], ids=["no part", "none chosen"])
def test_without_modulators(network):
    with pytest.raises(ConfigError, match="needs a network with modulators"):
        embedding_pca(network, ToyVideo(frames=3), frames=[1])


def test_no_predicted_frame():
    network = small_matching()
    with pytest.raises(ConfigError, match=r"none of the frames \[0\]"):
        embedding_pca(network, ToyVideo(frames=3), frames=[0])
