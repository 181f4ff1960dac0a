import pytest
import torch
from plain_matching import plain_decoder, randomize

from vosfw.model.decoder.ensembler import EnsemblerDecoder
from vosfw.model.gate.instance import InstanceGate

VALID = torch.tensor([[True, True, True], [True, True, False]])


@pytest.fixture
def decoder():
    return randomize(EnsemblerDecoder(6, 5, 4, 7, InstanceGate, width=8, skip_width=4))


def inputs():
    generator = torch.Generator().manual_seed(1)
    shapes = ((2, 3, 6, 5, 4), (2, 3, 5, 9, 7), (2, 4, 9, 7), (2, 3, 7))
    return [torch.randn(shape, generator=generator) for shape in shapes]


@torch.no_grad()
def test_objects_equal_the_plain_network_and_the_background_gets_what_the_others_say(decoder):
    x, skip, low, head = inputs()
    got = decoder(x, decoder.merge(skip, low), head, VALID)
    own, against = zip(*(plain_decoder(decoder, x[:, k], skip[:, k], low, head[:, k]) for k in range(3)), strict=True)
    for k in (1, 2):
        torch.testing.assert_close(got[:, k], own[k], atol=1e-3, rtol=1e-3)
    # The second video's last slot is not in use.
    background = [own[0][0] + torch.minimum(against[1][0], against[2][0]), own[0][1] + against[1][1]]
    torch.testing.assert_close(got[:, 0], torch.stack(background), atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_a_background_that_is_alone_speaks_for_itself(decoder):
    x, skip, low, head = inputs()
    unused = torch.tensor([[True, False, False]] * 2)
    own, _ = plain_decoder(decoder, x[:, 0], skip[:, 0], low, head[:, 0])
    for slots in (1, 3):
        fine = decoder.merge(skip[:, :slots], low)
        logits = decoder(x[:, :slots], fine, head[:, :slots], unused[:, :slots])
        torch.testing.assert_close(logits[:, 0], own, atol=1e-3, rtol=1e-3)


def test_gradients_reach_every_parameter(decoder):
    x, skip, low, head = inputs()
    decoder(x, decoder.merge(skip, low), head, VALID).square().sum().backward()
    assert [name for name, p in decoder.named_parameters() if not p.grad.any()] == []
