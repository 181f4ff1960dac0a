import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.model.proxy.kmeans import KMeansProxies
from vosfw.ops.kmeans import kmeans


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def masks_of(objects, *size, seed=0, batch=1):
    labels = torch.randint(0, objects, (batch, *size), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.one_hot(labels, objects).movedim(-1, 1).float()


EMBEDDING, MASKS = random(2, 3, 6, 7), masks_of(3, 6, 7, batch=2)


def test_one_proxy_is_the_mean():
    vectors, used = KMeansProxies()(EMBEDDING, MASKS, 1)
    assert used.all()
    for b in range(2):
        for k in range(3):
            own = EMBEDDING[b][:, MASKS[b, k] == 1]
            torch.testing.assert_close(vectors[b, k, 0], own.mean(1))


def test_proxies_are_the_means_of_each_objects_clusters():
    """Each object by itself, in a loop."""
    vectors, used = KMeansProxies(seed=3)(EMBEDDING, MASKS, 4)
    for b in range(2):
        points = EMBEDDING[b].flatten(1).T
        owner = MASKS[b].flatten(1).argmax(0)
        cluster = kmeans(points[None], owner[None], 3, 4, seed=3).cluster[0]
        for k in range(3):
            for j in range(4):
                own = points[(owner == k) & (cluster == j)]
                assert used[b, k, j] == (len(own) > 0)
                if len(own):
                    torch.testing.assert_close(vectors[b, k, j], own.mean(0))


def test_separate_groups_are_found():
    """An object of two colours has them for proxies, whatever the seed."""
    masks = torch.ones(1, 1, 4, 4)
    embedding = torch.where(torch.arange(16).view(4, 4) % 3 == 0, 5.0, -1.0)[None, None] + 0.01 * random(1, 1, 4, 4)
    for seed in range(5):
        vectors, used = KMeansProxies(seed=seed)(embedding, masks, 2)
        assert used.all()
        torch.testing.assert_close(vectors.flatten().sort().values, torch.tensor([-1.0, 5.0]), atol=0.02, rtol=0)


def test_an_object_with_few_cells_has_as_many_proxies():
    masks = torch.zeros(1, 3, 6, 7)
    masks[:, 0], masks[:, 0, 0, :3] = 1, 0
    masks[:, 1, 0, :3] = 1
    vectors, used = KMeansProxies()(EMBEDDING[:1], masks, 8)
    assert used.sum(2).tolist() == [[8, 3, 0]]
    torch.testing.assert_close(vectors[0, 1][used[0, 1]].sort(0).values, EMBEDDING[0, :, 0, :3].T.sort(0).values)
    assert vectors.isfinite().all()


def test_the_same_frame_has_the_same_proxies_whatever_was_drawn_before():
    torch.manual_seed(1)
    one = KMeansProxies()(EMBEDDING, MASKS, 8)
    torch.manual_seed(2)
    two = KMeansProxies()(EMBEDDING, MASKS, 8)
    assert torch.equal(one.vectors, two.vectors) and torch.equal(one.used, two.used)
    assert not torch.equal(one.vectors, KMeansProxies(seed=1)(EMBEDDING, MASKS, 8).vectors)


def test_cells_of_none_and_other_videos_play_no_part():
    masks = MASKS.clone()
    masks[..., :2] = 0
    changed = EMBEDDING.clone()
    changed[..., :2] = 100
    one, two = (KMeansProxies()(x, masks, 4) for x in (EMBEDDING, changed))
    assert torch.equal(one.vectors, two.vectors)
    alone = KMeansProxies()(EMBEDDING[1:], masks[1:], 4)
    torch.testing.assert_close(alone.vectors[0], one.vectors[1])


def test_gradients_reach_every_cell_of_an_object_through_the_means():
    embedding = EMBEDDING.clone().requires_grad_()
    vectors, used = KMeansProxies()(embedding, MASKS, 4)
    vectors[:, 1][used[:, 1]].sum().backward()
    assert torch.equal(embedding.grad.abs().sum(1) > 0, MASKS[:, 1] == 1)


@pytest.mark.parametrize(("options", "match"), [({"start": "best"}, "start"), ({"backend": "numpy"}, "backend")])
def test_bad_options(options, match):
    with pytest.raises(ConfigError, match=match):
        KMeansProxies(**options)(EMBEDDING, MASKS, 4)
