import pytest
import torch

from vosfw.config import compose, instantiate
from vosfw.errors import ConfigError
from vosfw.model.value_encoder.stm import STMValueEncoder
from vosfw.types import Features


def build(**options):
    torch.manual_seed(0)
    config = compose([], config_name="model/value_encoder/stm").model.value_encoder
    config.trunk.name = "resnet18"
    for name, value in options.items():
        config[name] = value
    return instantiate(config)(frame_channels=4, key_dim=6, value_dim=10).eval()


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(1)
    return Features(torch.rand(2, 1, 3, 33, 50, generator=generator), ())


@pytest.fixture
def probs():
    return torch.rand(2, 3, 33, 50, generator=torch.Generator().manual_seed(2)).softmax(1)


VALID = torch.ones(2, 3, dtype=torch.bool)


def test_every_object_has_keys_of_its_own(features, probs):
    with torch.no_grad():
        key, value = build()(features, probs, VALID)
    assert key.shape == (2, 3, 6, 3, 4)
    assert value.shape == (2, 3, 10, 3, 4)
    assert not torch.allclose(key[:, 0], key[:, 1])


def test_background_is_the_objects_own_and_others_are_not(features, probs):
    """With the second mask ``background`` an object's key says nothing of the others."""
    changed = probs.clone()
    changed[:, 2] = 0
    with torch.no_grad():
        for beside, same in (("background", True), ("others", False)):
            encoder = build(beside=beside)
            one, two = (encoder(features, each, VALID)[1][:, 0] for each in (probs, changed))
            assert torch.allclose(one, two, atol=1e-5) == same


def test_chunks_preparation_and_padding_change_nothing(features, probs):
    with torch.no_grad():
        whole = build()(features, probs, VALID)
        for encoder in (build(object_chunk=1), build(object_chunk=2)):
            for got, wanted in zip(encoder(features, probs, VALID), whole, strict=True):
                torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)
        encoder = build()
        prepared = features._replace(write=encoder.prepare(features))
        assert all(map(torch.equal, encoder(prepared, probs, VALID), whole))
        unused = VALID.clone()
        unused[:, 2] = False
        empty = probs * unused[:, :, None, None]
        assert all(map(torch.equal, encoder(features, probs, unused), encoder(features, empty, VALID)))


@pytest.mark.parametrize("options", [{"beside": "nothing"}, {"object_chunk": 0}])
def test_options_are_checked(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        STMValueEncoder(4, 6, 10, trunk=dict, **options)
