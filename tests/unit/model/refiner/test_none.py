import torch

from vosfw.model.refiner.none import NoRefiner


def test_hands_on():
    value = torch.rand(1, 2, 3, 1, 2, 2)
    refiner = NoRefiner(frame_channels=4, value_channels=3)
    assert refiner(value, refiner.prepare(torch.rand(1, 1, 4, 2, 2))) is value
