import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.model.encoder.pyramid import PyramidEncoder

SMALL = {"channels": [32, 32, 64, 64], "norm_layer": "groupnorm"}


def test_levels_and_colour():
    encoder = PyramidEncoder(width=24, options=SMALL).eval()
    levels = encoder(torch.rand(2, 3, 48, 80))
    assert [tuple(level.shape) for level in levels] == [(2, 24, 6, 10), (2, 32, 12, 20), (2, 64, 24, 40)]
    assert encoder.out_channels == tuple(level.shape[1] for level in levels)
    assert encoder.strides == (8, 4, 2)
    color = torch.tensor(encoder.pad_color)[None, :, None, None].expand(1, 3, 32, 32)
    assert (encoder.normalize(color) == 0).all()


def test_context_reaches_the_first_level():
    """A far pixel changes a cell only by way of the coarser map."""
    torch.manual_seed(0)
    frames = torch.rand(1, 3, 16, 256)
    changed = frames.clone()
    changed[..., 148:] = 0
    for context, far in (((), False), ((16,), True)):
        encoder = PyramidEncoder(width=16, context=context, options={"channels": [32, 32, 64, 64]}).eval()
        cells = [encoder(x)[0][..., :8] for x in (frames, changed)]
        assert bool((cells[0] - cells[1]).abs().max() > 0) == far


def test_odd_sizes():
    levels = PyramidEncoder(width=16, options=SMALL)(torch.rand(1, 3, 41, 57))
    assert [tuple(level.shape[2:]) for level in levels] == [(6, 8), (11, 15), (21, 29)]


@pytest.mark.parametrize(("strides", "context"), [((8, 4), (4,)), ((4, 8), (16,)), ((), (16,))])
def test_strides_must_fall(strides, context):
    with pytest.raises(ConfigError, match="strides that fall"):
        PyramidEncoder(strides=strides, context=context)


def test_an_unknown_option_of_the_backbone():
    with pytest.raises(ConfigError, match=r"with the options \{'bogus': 1\}"):
        PyramidEncoder(options={"bogus": 1})


def test_frozen_statistics():
    frames = torch.rand(2, 3, 32, 32)
    for frozen in (True, False):
        encoder = PyramidEncoder(frozen_bn=frozen, options={"channels": [8, 8, 16, 16]}).train()
        before = encoder.backbone.bn1.running_mean.clone()
        encoder(frames)[0].sum().backward()
        assert torch.equal(encoder.backbone.bn1.running_mean, before) == frozen
