import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.scheduler import warmup_cosine


def rates(steps, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = warmup_cosine(optimizer, **options)
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
