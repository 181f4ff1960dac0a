import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.model.layers.embedding import EmbeddingHead


def test_embedding():
    head = EmbeddingHead(256)
    result = head(torch.randn(2, 256, 5, 7))
    assert result.shape == (2, 100, 5, 7)
    assert (result >= 0).all() and result.any()
    assert (head.depthwise_norm.num_groups, head.project_norm.num_groups) == (32, 25)


@pytest.mark.parametrize(("widths", "match"), [((20, 100), "in_channels is 20"), ((32, 6), "out_channels is 6")])
def test_widths_are_checked(widths, match):
    with pytest.raises(ConfigError, match=match):
        EmbeddingHead(*widths)
