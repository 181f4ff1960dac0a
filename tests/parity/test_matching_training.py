"""Loss and learning rate of CFBI and RPCM against numbers of the released code."""

import importlib.util
import json
from functools import partial

import numpy as np
import pytest
import torch

from vosfw.loss.bootstrapped_ce import BootstrappedCE
from vosfw.scheduler import warmup_poly

MODULES = ("cfbi", "rpcm")


@pytest.mark.parametrize("system", MODULES)
def test_hardest_pixels(golden, system):
    spec = importlib.util.spec_from_file_location("weights", golden / "weights.py")
    rules = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rules)
    case = json.loads((golden / system / "modules.json").read_text())["train/bootstrapped_ce"]
    wanted = torch.from_numpy(np.load(golden / system / "modules.npz")["train/bootstrapped_ce"])
    logits, labels = (torch.from_numpy(rules.build_input(case["inputs"][name])) for name in ("logits", "label"))
    hard, steps = case["params"]["hard_mining_step"], case["params"]["steps"]
    loss = BootstrappedCE(start=0, end=hard, ratio=case["params"]["top_k"], total=2 * hard, count_void=True)
    valid = torch.ones(1, logits.shape[1] - 1, dtype=torch.bool)
    got = torch.stack([loss(logits, labels, valid, step / (2 * hard)) for step in steps])
    torch.testing.assert_close(got, wanted.reshape(got.shape).float(), atol=5e-5, rtol=0)


def test_learning_rates(golden):
    cases = json.loads((golden / "protocol.json").read_text())["learning_rate"]
    assert len(cases) > 20
    for case in cases:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=case["base"])
        schedule = partial(warmup_poly, total_steps=case["total"], warmup=1000, power=0.9, floor=1e-5)(optimizer)
        rate = case["base"] * schedule.lr_lambdas[0](case["step"])
        assert rate == pytest.approx(case["lr"], rel=1e-12, abs=0), case
