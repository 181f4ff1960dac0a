import torch

from vosfw.model.layers.normalize import IMAGENET_MEAN, Normalize


def test_the_mean_colour_is_exactly_zero_and_nothing_is_stored():
    layer = Normalize()
    frames = torch.tensor(IMAGENET_MEAN)[None, :, None, None].expand(1, 3, 2, 2)
    assert (layer(frames) == 0).all()
    assert layer.state_dict() == {}
    torch.testing.assert_close(layer(torch.ones(1, 3, 1, 1))[0, 0, 0, 0], torch.tensor(0.515 / 0.229))
