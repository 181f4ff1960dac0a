"""Two kills each; ``tests/kill_at_random.py`` does twenty."""

import random

import kill_at_random
import pytest


@pytest.mark.parametrize("mode", list(kill_at_random.MODES))
def test_killed_and_resumed_runs_end_as_undisturbed_ones(mode, tmp_path):
    kill_at_random.prepare(tmp_path)
    assert kill_at_random.compare(mode, tmp_path, 2, random.Random(1)) >= 1
