import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.interfaces import Previous
from vosfw.model.matcher.pixel import PixelMatcher
from vosfw.ops.matching import FAR

BG, FG = 0.3, -0.2


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def masks_of(objects, *size, seed=0, batch=1):
    labels = torch.randint(0, objects, (batch, *size), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.one_hot(labels, objects).movedim(-1, 1).float()


def make(**options):
    matcher = PixelMatcher(**options).eval()
    torch.nn.init.constant_(matcher.bg_bias, BG)
    torch.nn.init.constant_(matcher.fg_bias, FG)
    return matcher


def used(*flags):
    return torch.tensor([flags])


def value(distance, k):
    """By hand: 2 sigmoid(d + b) - 1."""
    return 2 * torch.sigmoid(torch.as_tensor(distance) + (FG if k else BG)) - 1


def test_maps_of_two_cells_by_hand():
    """The query's cells are 0 and 3; the background's cell is 1, the object's 2, side by side, and so before."""
    matcher = make(windows=[1], halve=False)
    query = torch.tensor([0.0, 3.0]).view(1, 1, 1, 2)
    embedding, masks = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2), torch.eye(2).view(1, 2, 1, 2)
    maps = matcher(query, [matcher.index(embedding, masks)], Previous(embedding, masks), used(True, True))[0, :, :, 0]
    distances = [[1.0, 4.0], [4.0, 1.0]]
    for k in (0, 1):
        own, other = value(distances[k], k), value(distances[1 - k], 1 - k)
        torch.testing.assert_close(maps[k], torch.stack([own, own, masks[0, k, 0], other, other]))


@pytest.mark.parametrize("windows", [(1, 3, 2), (3, 2, 1)])
def test_the_largest_window_comes_first_then_from_small_to_large(windows):
    matcher = make(windows=windows, halve=False)
    assert matcher.windows == (3, 1, 2)
    assert matcher.out_channels == 9
    query, before, masks = random(1, 4, 7, 7), random(1, 4, 7, 7, seed=1), masks_of(2, 7, 7)
    maps = matcher(query, [], Previous(before, masks), used(True, True))
    assert maps.shape == (1, 2, 9, 7, 7)
    for i, radius in enumerate((3, 1, 2)):
        one = make(windows=[radius], halve=False)(query, [], Previous(before, masks), used(True, True))
        torch.testing.assert_close(maps[:, :, 1 + i], one[:, :, 1])
        torch.testing.assert_close(maps[:, :, 5 + i], one[:, :, 3])
    assert (maps[:, :, 1] <= maps[:, :, 3]).all() and (maps[:, :, 3] <= maps[:, :, 2]).all()


def test_halved_windows_are_those_of_resized_maps():
    query, before, masks = random(1, 4, 9, 7), random(1, 4, 9, 7, seed=1), masks_of(2, 9, 7)

    def resize(x, size, **how):
        return torch.nn.functional.interpolate(x, size, **how)

    linear = {"mode": "bilinear", "align_corners": True}
    small = Previous(resize(before, (5, 4), **linear), resize(masks, (5, 4), mode="nearest"))
    plain = make(windows=[1, 2], halve=False)(resize(query, (5, 4), **linear), [], small, used(True, True))
    halved = make(windows=[1, 2])(query, [], Previous(before, masks), used(True, True))
    wanted = resize(plain[0, :, 1:3], (9, 7), **linear)
    torch.testing.assert_close(halved[0, :, 1:3], wanted)
    assert torch.equal(halved[0, :, 3], masks[0])


def test_atrous_matching_sees_every_second_cell_down_and_across():
    embedding, masks, query = random(1, 3, 5, 6), masks_of(2, 5, 6), random(1, 3, 5, 6, seed=1)
    thin, exact = make(windows=[1], atrous=2), make(windows=[1])
    previous = Previous(embedding, masks)
    got = thin(query, [thin.index(embedding, masks)], previous, used(True, True))
    wanted = exact(query, [exact.index(embedding[..., ::2, ::2], masks[..., ::2, ::2])], previous, used(True, True))
    assert torch.equal(got, wanted)
    # In training every cell is seen.
    thin.train()
    every = thin(query, [thin.index(embedding, masks)], previous, used(True, True))
    assert torch.equal(every, exact(query, [exact.index(embedding, masks)], previous, used(True, True)))


def test_half_precision_is_close_and_far_stays_far():
    embedding, masks, query = random(1, 8, 6, 6), masks_of(2, 6, 6), random(1, 8, 6, 6, seed=1)
    masks = torch.cat([masks, torch.zeros(1, 1, 6, 6)], 1)
    half, exact = make(windows=[1], float16=True), make(windows=[1])
    index = half.index(embedding, masks)
    assert index.rows.dtype == torch.float16
    previous = Previous(embedding, masks)
    got = half(query, [index], previous, used(True, True, True))
    wanted = exact(query, [exact.index(embedding, masks)], previous, used(True, True, True))
    torch.testing.assert_close(got, wanted, atol=0.02, rtol=0)
    assert (got[0, 2, 0] == 1).all()


def test_an_absent_object_has_the_value_one():
    matcher, embedding = make(windows=[2]), random(1, 3, 4, 4)
    masks = torch.cat([masks_of(1, 4, 4), torch.zeros(1, 1, 4, 4)], 1)
    maps = matcher(embedding, [matcher.index(embedding, masks)], Previous(embedding, masks), used(True, True))[0]
    assert (maps[1, :2] == 1).all() and not maps[1, 2].any()
    assert 2 * torch.sigmoid(torch.tensor(FAR)) - 1 == 1


def test_a_class_that_is_alone_has_its_own_map_for_that_of_the_others():
    """Also with slots that are not in use, and only in the videos of a batch that it is alone in."""
    matcher, query, embedding = make(windows=[1]), random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1)
    masks = torch.cat([torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)], 1)
    valid = torch.tensor([[True, False], [True, True]])
    maps = matcher(query, [matcher.index(embedding, masks)], Previous(embedding, masks), valid)
    assert torch.equal(maps[0, 0, 3], maps[0, 0, 1]) and torch.equal(maps[0, 0, 4], maps[0, 0, 0])
    assert (maps[1, 0, 3:] == 1).all()
    single = masks[:, :1]
    plain = matcher(query, [matcher.index(embedding, single)], Previous(embedding, single), valid[:, :1])
    torch.testing.assert_close(plain[0, 0], maps[0, 0])


def test_a_removed_object_in_a_reference_is_no_other():
    matcher, query, embedding = make(windows=[1]), random(1, 3, 4, 4), random(1, 3, 4, 4, seed=1)
    masks = masks_of(3, 4, 4)
    without = masks * torch.tensor([1.0, 1.0, 0.0])[:, None, None]
    previous, valid = Previous(embedding, without), used(True, True, False)
    maps, wanted = (matcher(query, [matcher.index(embedding, m)], previous, valid) for m in (masks, without))
    assert not torch.equal(maps[:, 2], wanted[:, 2])
    assert torch.equal(maps[:, :2], wanted[:, :2])


def test_references_may_know_fewer_objects_than_the_frame_before():
    matcher, query, embedding = make(windows=[1]), random(1, 3, 4, 4), random(1, 3, 4, 4, seed=1)
    first, now = masks_of(2, 4, 4), masks_of(3, 4, 4, seed=1)
    maps = matcher(query, [matcher.index(embedding, first)], Previous(embedding, now), used(True, True, True))
    assert (maps[0, 2, 0] == 1).all()
    alone = matcher(query, [matcher.index(embedding, first)], Previous(embedding, now[:, :2]), used(True, True))
    torch.testing.assert_close(maps[:, :2, 0], alone[:, :, 0])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"windows": []}, "windows"),
        ({"windows": [0, 2]}, "windows"),
        ({"windows": [2, 2]}, "windows"),
        ({"atrous": 0}, "atrous is 0"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ConfigError, match=match):
        PixelMatcher(**options)
