import torch

from vosfw.model.gate.instance import InstanceGate


def test_gains_come_from_the_descriptor_by_hand():
    gate = InstanceGate(channels=2, head_dim=1)
    gate.load_state_dict({"linear.weight": torch.tensor([[2.0], [-1.0]]), "linear.bias": torch.tensor([0.0, 0.5])})
    head, valid = torch.tensor([[[0.0], [3.0]]]), torch.ones(1, 2, dtype=torch.bool)
    gains = gate(torch.zeros(1, 2, 2, 3, 3), head, valid)
    wanted = 1 + torch.tensor([[0.0, 0.5], [6.0, -2.5]]).tanh()
    torch.testing.assert_close(gains[0], wanted)
    assert torch.equal(gains, gate(torch.rand(1, 2, 2, 5, 1), head, ~valid))
