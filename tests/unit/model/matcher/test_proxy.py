import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.interfaces import Previous
from vosfw.model.matcher.proxy import ProxyMatcher
from vosfw.model.proxy.grid import GridProxies
from vosfw.model.proxy.kmeans import KMeansProxies

BG, FG = 0.3, -0.2
VALID = torch.ones(1, 3, dtype=torch.bool)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def masks_of(objects, *size, seed=0, batch=1):
    labels = torch.randint(0, objects, (batch, *size), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.one_hot(labels, objects).movedim(-1, 1).float()


def make(proxies=None, **options):
    matcher = ProxyMatcher(proxies or KMeansProxies(), **options).eval()
    torch.nn.init.constant_(matcher.bg_bias, BG)
    torch.nn.init.constant_(matcher.fg_bias, FG)
    return matcher


def match(matcher, query, references, before):
    """Maps by references and the frame before, each an embedding and masks."""
    previous = Previous(*before, matcher.index_previous(*before))
    valid = torch.ones(len(query), before[1].shape[1], dtype=torch.bool)
    return matcher(query, [matcher.index(*reference) for reference in references], previous, valid)


def value(distance, k):
    """By hand: 2 sigmoid(d + b) - 1."""
    return 2 * torch.sigmoid(torch.as_tensor(distance) + (FG if k else BG)) - 1


def test_maps_of_two_cells_by_hand():
    """One proxy: the background's cells 1 and 3 have the mean 2; the object's is 6; before, they are 0 and 5."""
    reference = torch.tensor([1.0, 3.0, 6.0]).view(1, 1, 1, 3), torch.tensor([[1.0, 1, 0], [0, 0, 1]]).view(1, 2, 1, 3)
    before = torch.tensor([0.0, 5.0]).view(1, 1, 1, 2), torch.eye(2).view(1, 2, 1, 2)
    maps = match(make(count=1), torch.tensor([0.0, 4.0]).view(1, 1, 1, 2), [reference], before)[0, :, :, 0]
    wanted = [[[4.0, 4.0], [0.0, 16.0]], [[36.0, 4.0], [25.0, 1.0]]]
    torch.testing.assert_close(maps, torch.stack([value(wanted[k], k) for k in (0, 1)]))


@pytest.mark.parametrize("proxies", [KMeansProxies(), GridProxies()], ids=["kmeans", "grid"])
def test_the_nearest_proxy_of_all_references_counts(proxies):
    """Against a loop over cells, objects and proxies."""
    matcher, query = make(proxies, count=3, previous=False), random(2, 4, 3, 5, seed=9)
    frames = [(random(2, 4, 6, 5, seed=s), masks_of(3, 6, 5, seed=s, batch=2)) for s in (1, 2)]
    maps = match(matcher, query, frames, frames[0])
    assert matcher.out_channels == 1 and maps.shape == (2, 3, 1, 3, 5)
    found = [matcher.index(*frame) for frame in frames]
    for b in range(2):
        for k in range(3):
            vectors = torch.cat([one.vectors[b, k][one.used[b, k]] for one in found])
            for y in range(3):
                for x in range(5):
                    near = min((query[b, :, y, x] - vector).square().sum() for vector in vectors)
                    torch.testing.assert_close(maps[b, k, 0, y, x], value(near, k), atol=1e-5, rtol=1e-5)


def test_many_proxies_are_the_pixels_themselves():
    """With as many clusters as cells a level is pixel matching."""
    embedding, masks, query = random(1, 3, 4, 4), masks_of(2, 4, 4), random(1, 3, 4, 4, seed=1)
    maps = match(make(count=16), query, [(embedding, masks)], (embedding, masks))
    far = torch.cdist(query.flatten(2).mT, embedding.flatten(2).mT).square()
    for k in (0, 1):
        own = far.masked_fill(~masks[:, k].flatten(1).bool()[:, None], torch.inf).amin(2).view(4, 4)
        torch.testing.assert_close(maps[0, k, 0], value(own, k), atol=1e-5, rtol=1e-4)


def test_an_absent_object_has_the_value_one():
    masks = torch.cat([masks_of(2, 4, 4), torch.zeros(1, 1, 4, 4)], 1)
    maps = match(make(count=4), random(1, 3, 4, 4), [(random(1, 3, 4, 4), masks)], (random(1, 3, 4, 4), masks))
    assert (maps[:, 2] == 1).all() and (maps[:, :2] < 1).all()


def test_references_may_know_fewer_objects_than_the_frame_before():
    matcher, query, embedding = make(count=4), random(1, 3, 4, 4), random(1, 3, 4, 4, seed=1)
    first, now = masks_of(2, 4, 4), masks_of(3, 4, 4, seed=1)
    maps = match(matcher, query, [(embedding, first)], (embedding, now))
    assert (maps[0, 2, 0] == 1).all() and (maps[0, 2, 1] < 1).all()
    alone = match(matcher, query, [(embedding, first)], (embedding, now[:, :2]))
    torch.testing.assert_close(maps[:, :2, 0], alone[:, :, 0])
    # With another reference that knows it.
    both = match(matcher, query, [(embedding, first), (embedding, now)], (embedding, now))
    assert (both[0, 2, 0] < 1).all() and (both[:, :2, 0] <= maps[:, :2, 0]).all()


def test_the_order_of_objects_does_not_matter():
    matcher, order = make(count=4), torch.tensor([0, 3, 1, 2])
    query, embedding, masks = random(2, 3, 6, 6), random(2, 3, 6, 6, seed=1), masks_of(4, 6, 6, batch=2)
    plain = match(matcher, query, [(embedding, masks)], (embedding, masks))
    swapped = match(matcher, query, [(embedding, masks[:, order])], (embedding, masks[:, order]))
    torch.testing.assert_close(swapped, plain[:, order], atol=1e-5, rtol=1e-5)


def test_only_what_the_levels_ask_for_is_made_of_the_frame_before():
    class Counting(KMeansProxies):
        calls = 0

        def forward(self, *arguments):
            Counting.calls += 1
            return super().forward(*arguments)

    frame, query = (random(1, 3, 4, 4), masks_of(3, 4, 4)), random(1, 3, 4, 4, seed=1)
    for previous, wanted in ((False, 1), (True, 2)):
        matcher, Counting.calls = make(Counting(), count=4, previous=previous), 0
        index, before = matcher.index(*frame), matcher.index_previous(*frame)
        assert (before == ()) is not previous
        for _ in range(3):
            matcher(query, [index], Previous(*frame, before), VALID)
        # Once per frame that is memorised, never per frame that is matched.
        assert Counting.calls == wanted


def test_gradients_reach_the_embeddings_and_the_biases():
    matcher = make(count=4).train()
    frames = [random(1, 3, 6, 6, seed=s).requires_grad_() for s in range(3)]
    masks = masks_of(3, 6, 6)
    match(matcher, frames[0], [(frames[1], masks)], (frames[2], masks)).square().sum().backward()
    assert all(frame.grad.any() for frame in frames)
    assert matcher.bg_bias.grad.any() and matcher.fg_bias.grad.any()


def test_bad_options():
    with pytest.raises(ConfigError, match=r"matcher\.count is 0"):
        make(count=0)
