from functools import partial

import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.model.layers.trunk import SmallTrunk
from vosfw.model.value_encoder.stcn import STCNValueEncoder
from vosfw.types import Features


def build(**options):
    torch.manual_seed(0)
    return STCNValueEncoder(8, 4, 16, trunk=partial(SmallTrunk, widths=(8, 8, 8, 16)), **options)


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(1)
    levels = (torch.rand(2, 1, 8, 2, 3, generator=generator), torch.rand(2, 1, 4, 2, 3, generator=generator))
    return Features(torch.rand(2, 1, 3, 32, 48, generator=generator), levels)


def test_the_key_is_the_frames(features):
    valid = torch.ones(2, 3, dtype=torch.bool)
    key, value = build()(features, torch.rand(2, 3, 32, 48), valid)
    assert torch.equal(key, features.levels[1])
    assert value.shape == (2, 3, 16, 2, 3)


def test_others_are_the_sum_of_the_other_valid_masks(features, monkeypatch):
    encoder, seen = build(), []
    monkeypatch.setattr(encoder.trunk, "forward", lambda masks, half: seen.append(masks) or half.new_zeros(6, 16, 2, 3))
    probs = torch.rand(2, 3, 32, 48)
    encoder(features, probs, torch.tensor([[True, True, True], [True, False, True]]))
    masks = seen[0].unflatten(0, (2, 3))
    torch.testing.assert_close(masks[0, 0], torch.stack([probs[0, 0], probs[0, 1] + probs[0, 2]]))
    torch.testing.assert_close(masks[1, 0], torch.stack([probs[1, 0], probs[1, 2]]))
    torch.testing.assert_close(masks[1, 2], torch.stack([probs[1, 2], probs[1, 0]]))


def test_chunks_change_nothing(features):
    probs, valid = torch.rand(2, 3, 32, 48), torch.ones(2, 3, dtype=torch.bool)
    whole = build()(features, probs, valid)[1]
    for chunk in (1, 2, 5):
        torch.testing.assert_close(build(object_chunk=chunk)(features, probs, valid)[1], whole, atol=1e-5, rtol=1e-5)


def test_options_are_checked():
    with pytest.raises(ConfigError, match="object_chunk"):
        build(object_chunk=0)
