import torch
from torch.nn import functional as F

from vosfw.model.layers.aspp import ASPP
from vosfw.model.layers.deeplab_decoder import DeepLabDecoder


def test_branches():
    torch.manual_seed(0)
    aspp = ASPP(8, 4, rates=(2, 3)).eval()
    x = torch.randn(2, 8, 5, 6)
    assert [branch[0].dilation[0] for branch in aspp.branches] == [1, 2, 3]
    pooled = F.interpolate(aspp.pool(F.adaptive_avg_pool2d(x, 1)), (5, 6), mode="bilinear", align_corners=True)
    wanted = aspp.merge(torch.cat([*(branch(x) for branch in aspp.branches), pooled], 1))
    torch.testing.assert_close(aspp(x), wanted)


def test_the_decoder_aligns_corners():
    decoder = DeepLabDecoder(6, 8, 4).eval()
    x, low = torch.randn(1, 8, 2, 3), torch.zeros(1, 6, 5, 9)
    seen = []
    decoder.fuse.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    assert decoder(x, low).shape == (1, 8, 5, 9)
    assert seen[0].shape[1] == 12
    torch.testing.assert_close(seen[0][:, :8, ::4, ::4], x)
