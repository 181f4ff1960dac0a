import torch

from vosfw.model.value_encoder.patch import PatchValueEncoder
from vosfw.types import Features


def test_means_come_first_and_the_key_is_the_frames():
    torch.manual_seed(0)
    encoder = PatchValueEncoder(frame_channels=6, key_dim=4, value_dim=10, stride=8)
    levels = (torch.rand(1, 1, 6, 2, 3), torch.rand(1, 1, 4, 2, 3))
    features = Features(torch.rand(1, 1, 3, 16, 24), levels)
    probs = torch.zeros(1, 3, 16, 24)
    probs[0, 0, :8, :8] = 1
    probs[0, 1, :8, :4] = 0.5
    probs[0, 2] = 1
    valid = torch.tensor([[True, True, False]])
    key, value = encoder(features, probs, valid)
    assert torch.equal(key, levels[1])
    assert value.shape == (1, 3, 10, 2, 3)
    torch.testing.assert_close(value[0, 0, :2, 0, 0], torch.tensor([1.0, -0.5]))
    torch.testing.assert_close(value[0, 1, :2, 0, 0], torch.tensor([-0.5, 1.0]))
    empty, _ = encoder(features, torch.zeros_like(probs), valid)[1], None
    torch.testing.assert_close(value[0, 2, 0], empty[0, 2, 0])
