"""Shared set-up of the tests of commands."""

import pytest
from hydra.core.config_store import ConfigStore


@pytest.fixture(autouse=True)
def no_leftover_choices():
    """What a checkpoint's configuration put into Hydra's store is gone for the next test."""
    yield
    ConfigStore.instance().repo.pop("model", None)
    ConfigStore.instance().repo.pop("engine", None)
