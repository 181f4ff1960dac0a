import pytest
import torch
from plain_matching import plain_ensembler, randomize

from vosfw.errors import ConfigError
from vosfw.interfaces import Previous
from vosfw.model.ensembler.bottleneck import BottleneckEnsembler
from vosfw.model.gate.instance import InstanceGate

SIZE = (9, 13)
VALID = torch.ones(2, 3, dtype=torch.bool)


def make(**options):
    defaults = {"widths": (8, 16), "dilations": ((1, 2), (1, 2)), "out_channels": 8, "prehead": 4}
    return randomize(BottleneckEnsembler(5, 4, 6, InstanceGate, **(defaults | options)))


def inputs():
    generator = torch.Generator().manual_seed(1)
    query, maps, embedding, head = (
        torch.randn(shape, generator=generator) for shape in ((2, 4, *SIZE), (2, 3, 5, *SIZE), (2, 4, *SIZE), (2, 3, 6))
    )
    labels = torch.randint(0, 3, (2, *SIZE), generator=generator)
    masks = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    return query, maps, Previous(embedding, masks), head


@pytest.mark.parametrize(
    "options",
    [{}, {"masked_previous": True}, {"widths": (8, 16, 16), "dilations": ((1,), (1, 2), (4,))}],
    ids=["rpcm", "cfbi", "three"],
)
@torch.no_grad()
def test_every_object_equals_the_plain_network(options):
    ensembler, (query, maps, previous, head) = make(**options), inputs()
    got, skip = ensembler(query, maps, previous, head, VALID)
    assert ensembler.stride == (4 if len(options.get("widths", ())) == 3 else 2)
    assert got.shape[2] == ensembler.out_channels and skip.shape[2] == ensembler.skip_channels
    assert got.shape[3:] == tuple(-(-side // ensembler.stride) for side in SIZE) and skip.shape[3:] == SIZE
    for k in range(3):
        own = previous.masks[:, k : k + 1]
        coarse, fine = plain_ensembler(ensembler, query, maps[:, k], previous.embedding, own, head[:, k])
        torch.testing.assert_close(got[:, k], coarse, atol=2e-3, rtol=1e-3)
        torch.testing.assert_close(skip[:, k], fine, atol=1e-3, rtol=1e-3)


def test_gradients_reach_every_parameter():
    ensembler = make(masked_previous=True)
    sum(y.square().sum() for y in ensembler(*inputs(), VALID)).backward()
    assert [name for name, p in ensembler.named_parameters() if not p.grad.any()] == []


@pytest.mark.parametrize("dilations", [((1,),), ((1,), ()), ((1,), (1,), (1,))])
def test_stages_and_dilations_must_agree(dilations):
    with pytest.raises(ConfigError, match="do not agree"):
        make(dilations=dilations)
