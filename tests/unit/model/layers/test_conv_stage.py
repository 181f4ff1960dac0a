import torch

from vosfw.model.layers.conv_stage import conv_stage


def test_halves_once_and_norms_each_sample_alone():
    torch.manual_seed(0)
    stage, x = conv_stage(8, 16, depth=3).train(), torch.randn(2, 8, 6, 10)
    assert stage(x).shape == (2, 16, 3, 5)
    torch.testing.assert_close(stage(x)[:1], stage(x[:1]), atol=1e-5, rtol=1e-5)
