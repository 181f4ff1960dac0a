import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.model.encoder.small import SmallEncoder


def test_levels():
    encoder = SmallEncoder(widths=(8, 16, 24, 32), depth=1)
    levels = encoder(torch.rand(2, 3, 32, 64))
    assert [tuple(level.shape) for level in levels] == [(2, 32, 2, 4), (2, 24, 4, 8), (2, 16, 8, 16)]
    assert encoder.out_channels == (32, 24, 16)
    assert encoder.strides == (16, 8, 4)


@pytest.mark.parametrize("widths", [(8,), (8, 16, 24, 30)])
def test_widths_are_checked(widths):
    with pytest.raises(ConfigError, match="widths"):
        SmallEncoder(widths=widths)
