import pytest
import torch

from vosfw.model.layers.res_block import ResBlock, SplitResBlock


@pytest.mark.parametrize("channels", [(4, 4), (4, 6)])
def test_block(channels):
    torch.manual_seed(0)
    block, x = ResBlock(*channels), torch.randn(2, channels[0], 5, 6)
    kept = x.clone()
    wanted = block.shortcut(x) + block.conv2(block.conv1(x.relu()).relu())
    torch.testing.assert_close(block(x), wanted)
    assert torch.equal(x, kept)


def test_split_block_equals_the_plain_one():
    torch.manual_seed(0)
    split, plain = SplitResBlock(3, 2, 4), ResBlock(5, 4)
    plain.load_state_dict(split.state_dict())
    x, frame = torch.randn(4, 3, 5, 6), torch.randn(2, 2, 5, 6)
    wanted = plain(torch.cat([x, frame.repeat_interleave(2, 0)], dim=1))
    torch.testing.assert_close(split(x, split.frame_half(frame)), wanted, atol=1e-5, rtol=1e-5)
