import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.scheduler import warmup_cosine, warmup_poly


def rates(steps, build=warmup_cosine, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = build(optimizer, **options)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_it_rises_in_a_line_and_falls_along_a_cosine():
    found = rates(9, total_steps=8, warmup=0.5, floor=0.1)
    assert found[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert found[4] == pytest.approx(2.0)
    assert found[6] == pytest.approx(2 * (0.1 + 0.9 / 2))
    assert found[8] == pytest.approx(0.2)


def test_it_stays_at_the_floor():
    assert rates(5, total_steps=2, warmup=0.0, floor=0.25)[2:] == pytest.approx([0.5] * 3)


@pytest.mark.parametrize("total", [1, 2, 10])
def test_short_runs_have_a_schedule(total):
    assert all(0 < rate <= 2 for rate in rates(total, total_steps=total))


@pytest.mark.parametrize(
    "options", [{"total_steps": 0}, {"total_steps": 5, "warmup": 1.0}, {"total_steps": 5, "floor": 2.0}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(ConfigError, match="scheduler has"):
        rates(1, **options)


def test_poly_rises_in_a_line_and_never_leaves_the_floor():
    found = rates(12, warmup_poly, total_steps=9, warmup=4, power=1.0, floor=0.5)
    assert found[:5] == pytest.approx([0.5, 0.5, 1.0, 1.5, 2.0])
    assert found[5:9] == pytest.approx([2 * (1 - t / 6) for t in (1, 2, 3, 4)])
    assert found[9:] == pytest.approx([0.5] * 3)


@pytest.mark.parametrize("total", [1, 3, 5])
def test_poly_of_runs_shorter_than_the_warm_up(total):
    assert rates(total, warmup_poly, total_steps=total, warmup=5, floor=0.0) == pytest.approx(
        [2 * t / 5 for t in range(total)]
    )


def test_poly_keeps_an_absolute_floor_for_every_group():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (2.0, 0.5, 0.0)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    schedule = warmup_poly(optimizer, total_steps=4, warmup=2, floor=0.3)
    assert schedule.get_last_lr() == pytest.approx([0.3, 0.3, 0.0])
    optimizer.step()
    schedule.step()
    assert schedule.get_last_lr() == pytest.approx([1.0, 0.3, 0.0])


def test_poly_of_a_longer_run_takes_over():
    """Stage 2 of RPCM: the state of 10 steps goes on as step 10 of 20."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    first = warmup_poly(optimizer, total_steps=10, warmup=2)
    for _ in range(10):
        optimizer.step()
        first.step()
    second = warmup_poly(optimizer, total_steps=20, warmup=2)
    second.load_state_dict(first.state_dict())
    optimizer.step()
    second.step()
    assert second.get_last_lr() == pytest.approx(rates(12, warmup_poly, total_steps=20, warmup=2)[11:])


@pytest.mark.parametrize(
    "options",
    [{"total_steps": 0}, {"warmup": -1}, {"power": 0}, {"floor": -1e-5}],
)
def test_bad_options_of_poly_are_refused(options):
    with pytest.raises(ConfigError, match="scheduler has"):
        rates(1, warmup_poly, **{"total_steps": 5, **options})


def test_the_floor_of_a_group_has_its_factor():
    slow, fast = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    groups = [{"params": [slow], "lr": 0.01, "factor": 0.01}, {"params": [fast], "lr": 1.0}]
    optimizer = torch.optim.SGD(groups)
    schedule = warmup_poly(optimizer, total_steps=4, warmup=0, floor=0.5)
    for _ in range(6):
        optimizer.step()
        schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.005, 0.5])
