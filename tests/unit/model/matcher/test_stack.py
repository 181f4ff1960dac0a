import pytest
import torch

from vosfw.config import compose, instantiate
from vosfw.errors import ConfigError
from vosfw.interfaces import Previous
from vosfw.model.matcher.pixel import PixelMatcher
from vosfw.model.matcher.proxy import ProxyMatcher
from vosfw.model.matcher.stack import GranularityMatcher, StackMatcher
from vosfw.model.proxy.grid import GridProxies
from vosfw.model.proxy.kmeans import KMeansProxies

GENERATOR = torch.Generator().manual_seed(0)
EMBEDDING, QUERY = torch.randn(2, 1, 3, 6, 6, generator=GENERATOR)
MASKS = torch.nn.functional.one_hot(torch.randint(0, 3, (1, 6, 6), generator=GENERATOR), 3).movedim(-1, 1).float()
VALID = torch.ones(1, 3, dtype=torch.bool)


def proxy(count):
    return ProxyMatcher(KMeansProxies(), count)


def levels(*levels):
    return GranularityMatcher(levels, PixelMatcher([1, 2]), proxy).eval()


def match(matcher):
    previous = Previous(EMBEDDING, MASKS, matcher.index_previous(EMBEDDING, MASKS))
    return matcher(QUERY, [matcher.index(EMBEDDING, MASKS)], previous, VALID)


def test_maps_stand_in_the_order_of_the_matchers():
    pixel, coarse, fine = PixelMatcher([1, 2]).eval(), proxy(1), proxy(4)
    maps = match(StackMatcher({"fine": fine, "pixel": pixel, "coarse": coarse}))
    assert maps.shape[2] == 2 + 7 + 2
    assert torch.equal(maps, torch.cat([match(fine), match(pixel), match(coarse)], 2))


def test_each_level_is_a_matcher_of_its_own():
    matcher = levels(1, 4, "pixel")
    assert matcher.out_channels == 2 + 2 + 7
    assert torch.equal(match(matcher), torch.cat([match(proxy(1)), match(proxy(4)), match(levels("pixel"))], 2))
    assert len({id(part.fg_bias) for part in matcher.matchers.values()}) == 3
    # Pixels alone need nothing of the frame before besides itself.
    assert levels("pixel").index_previous(EMBEDDING, MASKS) == ((),)


def test_configs_choose_levels_and_kinds():
    options = ["model=aoc", "model.matcher.levels=[pixel,2]", "model/proxy@model.matcher.proxy.proxies=grid"]
    matcher = instantiate(compose(options).model.matcher)
    assert list(matcher.matchers) == ["pixel", "2"]
    assert isinstance(matcher.matchers["2"].proxies, GridProxies) and matcher.matchers["2"].count == 2
    assert list(instantiate(compose(["model=aoc"]).model.matcher).matchers) == ["1", "16", "pixel"]


@pytest.mark.parametrize(
    "wrong", [[0, "pixel"], ["pixels"], [1, 1], ["pixel", 4, "pixel"], [-3], [], "pixel", [1.5], [[1]]]
)
def test_bad_levels(wrong):
    with pytest.raises(ConfigError, match=r"matcher\.levels is .*wanted a list of different levels"):
        GranularityMatcher(wrong, PixelMatcher([1, 2]), proxy)


def test_a_number_of_proxies_besides_the_levels_is_refused():
    with pytest.raises(ConfigError, match=r"matcher\.proxy\.count is 8"):
        instantiate(compose(["model=aoc", "model.matcher.proxy.count=8"]).model.matcher)


def test_an_empty_stack_is_refused():
    with pytest.raises(ConfigError, match="wanted one matcher or more"):
        StackMatcher({})
