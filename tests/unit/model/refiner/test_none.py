import torch

from vosfw.model.refiner.none import NoRefiner


def test_hands_on():
    value = torch.rand(1, 2, 3, 1, 2, 2)
    assert NoRefiner(frame_channels=4, value_channels=3)(torch.rand(1, 4, 1, 2, 2), value) is value
