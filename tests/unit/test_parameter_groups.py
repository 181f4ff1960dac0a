import pytest
import torch
from doubles import WIDTH, KeyDouble
from modules import feed, make_module, make_trainer
from scenes import make_clip
from torch import nn

from vosfw import parameter_groups
from vosfw.errors import CheckpointError, ConfigError
from vosfw.scheduler import warmup_cosine


class Net(nn.Module):
    """Parts with everything that freezing must think of."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.decoder = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 1, 1))
        self.scale = nn.Parameter(torch.ones(1))


def named(groups, network):
    names = {id(p): name for name, p in network.named_parameters()}
    return [{names[id(p)] for p in group["params"]} for group in groups]


def test_groups_by_pattern_and_decay():
    net = Net()
    groups = parameter_groups.groups(net, {"encoder.*": 0.1, "encoder.1": 0.5, "decoder": None}, ["*.bias"])
    assert named(groups, net) == [
        {"decoder.0.weight", "decoder.1.weight", "decoder.3.weight", "scale"},
        {"decoder.0.bias", "decoder.1.bias", "decoder.3.bias"},
        {"encoder.0.weight"},
        {"encoder.0.bias"},
        {"encoder.1.weight"},  # the last pattern holds
        {"encoder.1.bias"},
    ]
    assert [group["factor"] for group in groups] == [1, 1, 0.1, 0.1, 0.5, 0.5]
    assert parameter_groups.sizes(groups).startswith("4 of the rest at 1, 3 of the rest, no decay at 1, 1 of encoder.*")
    assert [group.get("weight_decay") for group in groups] == [None, 0, None, 0, None, 0]
    assert len({group["name"] for group in groups}) == 6


def test_a_schedule_keeps_the_factors():
    net = Net()
    optimizer = torch.optim.AdamW(parameter_groups.groups(net, {"encoder.*": 0.1}, []), lr=1e-2)
    parameter_groups.apply_factors(optimizer)
    schedule = warmup_cosine(optimizer, 10)
    for _ in range(10):
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates[1] == pytest.approx(0.1 * rates[0])
        optimizer.step()
        schedule.step()
    table = parameter_groups.table(optimizer, net).splitlines()
    assert table[1].split() == ["the", "rest", "34", "1.00e-02"] and table[2].split() == ["encoder.*", "24", "1.00e-03"]


@pytest.mark.parametrize(
    ("pattern", "still"),
    [
        ("encoder.*", ("encoder", "encoder.0", "encoder.1", "encoder.2")),
        ("encoder", ("encoder", "encoder.0", "encoder.1")),
        ("decoder.[01].*", ("decoder.0", "decoder.1")),
        ("*.0.weight", ()),
    ],
)
def test_what_is_frozen_stays_still(pattern, still):
    net = Net()
    assert parameter_groups.freeze(net, [pattern]) == still
    frozen = {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    assert frozen == set(parameter_groups.select(Net(), pattern, "freeze")) and frozen


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda net: parameter_groups.freeze(net, ["encodr.*"]), r"freeze.*'encodr\.\*'.*did you mean encoder\.\*"),
        (lambda net: parameter_groups.freeze(net, ["x"]), r"its parts are encoder\.\*, decoder\.\*"),
        (lambda net: parameter_groups.freeze(net, ["*"]), "leaves nothing to train"),
        (lambda net: parameter_groups.groups(net, {"decoder.9": 0.1}, []), r"layer_lr.*did you mean decoder\."),
        (lambda net: parameter_groups.groups(net, {"encoder": 0}, []), "wanted a number above 0"),
        (lambda net: parameter_groups.groups(net, {}, ["*.beta"]), r"no_decay.*\*\.beta.*no_decay=\[\]"),
    ],
)
def test_what_names_nothing_or_everything_is_refused(use, message):
    with pytest.raises(ConfigError, match=message):
        use(Net())


class Noted(nn.Dropout):
    def forward(self, x):
        self.seen = self.training
        return super().forward(x)


def segmenting():
    """A network of the tests with a norm and dropout in its backbone."""
    network = KeyDouble()
    network.backbone = nn.Sequential(network.backbone, nn.BatchNorm2d(WIDTH), Noted(0.5))
    return network


def trained(**options):
    module = make_module(segmenting(), **options)
    before = {name: value.clone() for name, value in module.segmenter.state_dict().items()}
    trainer = make_trainer(max_steps=3)
    trainer.fit(module, feed(*[make_clip()] * 3))
    return module, before, trainer


def test_a_frozen_part_does_not_move_in_training(tmp_path):
    module, before, trainer = trained(freeze=["backbone.*"], layer_lr={"head.*": 0.5})
    for name, value in module.segmenter.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("backbone."), name
    assert not module.segmenter.backbone[2].seen
    count = sum(len(group["params"]) for group in trainer.optimizers[0].param_groups)
    assert count == len([p for p in module.parameters() if p.requires_grad]) < len(list(module.parameters()))

    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = make_module(segmenting(), freeze=["backbone.*"], layer_lr={"head.*": 0.5})
    make_trainer(max_steps=4).fit(again, feed(*[make_clip()] * 4), ckpt_path=tmp_path / "a.ckpt")
    assert torch.equal(again.segmenter.backbone[1].running_mean, before["backbone.1.running_mean"])
    with pytest.raises(CheckpointError, match="same freeze, layer_lr and no_decay"):
        make_trainer(max_steps=4).fit(make_module(segmenting()), feed(make_clip()), ckpt_path=tmp_path / "a.ckpt")


def test_frozen_statistics_still_learn():
    module, before, _ = trained(frozen_statistics=True)
    after = module.segmenter.state_dict()
    assert torch.equal(after["backbone.1.running_mean"], before["backbone.1.running_mean"])
    assert not torch.equal(after["backbone.1.weight"], before["backbone.1.weight"])
    assert module.segmenter.backbone[2].seen
    moved, start, _ = trained()
    assert not torch.equal(moved.segmenter.backbone[1].running_mean, start["backbone.1.running_mean"])
