"""Shared set-up of the tests: shapes are checked at run time, tensors stay small."""

import os
from pathlib import Path

import pytest
from browser import browser  # noqa: F401  a fixture
from jaxtyping import install_import_hook

if os.environ.get("VOSFW_CHECK_SHAPES", "1") == "1":
    install_import_hook("vosfw", "beartype.beartype")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        type=Path,
        default=Path(__file__).parent / "golden",
        help="folder of fixtures that tests/parity is run against",
    )


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Path:
    """The folder of fixtures."""
    return request.config.getoption("golden")
