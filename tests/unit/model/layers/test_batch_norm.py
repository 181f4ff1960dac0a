import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from vosfw.errors import ConfigError
from vosfw.model.layers.batch_norm import conv_norm, replace_batch_norms


def filled(norm):
    for name in ("weight", "bias", "running_mean", "running_var"):
        nn.init.uniform_(getattr(norm, name), 0.5, 1.5)
    return norm


@pytest.mark.parametrize("kind", ["frozen", "sync"])
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, BatchNormAct2d])
def test_values_and_activation_stay(norm, kind):
    old = nn.Sequential(filled(norm(4))).eval()
    x = torch.randn(2, 4, 5, 6)
    wanted = old(x)
    replace_batch_norms(old, kind)
    assert type(old[0]) is not norm
    torch.testing.assert_close(old.eval()(x), wanted)
    frozen = old.train()(x)
    assert torch.allclose(frozen, wanted) == (kind == "frozen")


def test_sync_statistics_on_one_cpu_are_those_of_the_batch():
    old = nn.Sequential(filled(nn.BatchNorm2d(4)))
    x = torch.randn(2, 4, 5, 6)
    wanted = old(x)
    new = nn.Sequential(nn.BatchNorm2d(4))
    replace_batch_norms(new, "sync")
    new.load_state_dict({**old.state_dict(), "0.running_mean": torch.zeros(4)})
    torch.testing.assert_close(new(x), wanted)
    assert new[0].running_mean.any()
    # One value per channel: the running statistics serve.
    assert new(x[:1, :, :1, :1]).isfinite().all()


def test_a_cpu_among_several_processes_uses_its_own_batch(tmp_path):
    norm = nn.Sequential(nn.BatchNorm2d(4))
    replace_batch_norms(norm, "sync")
    x = torch.randn(2, 4, 5, 6)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/join", world_size=1, rank=0)
    try:
        torch.testing.assert_close(norm(x), nn.BatchNorm2d(4)(x))
    finally:
        torch.distributed.destroy_process_group()


def test_unknown_kind():
    with pytest.raises(ConfigError, match="frozen or sync"):
        replace_batch_norms(conv_norm(4, 4), "group")
