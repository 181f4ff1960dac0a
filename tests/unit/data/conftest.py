"""Data sets as fixtures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import make_davis, make_folder, make_static_images, make_youtube
from PIL import Image


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """See ``make_davis``."""
    return make_davis(tmp_path / "davis")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """See ``make_folder``."""
    return make_folder(tmp_path / "folder")


@pytest.fixture
def youtube(tmp_path: Path) -> Path:
    """See ``make_youtube``."""
    return make_youtube(tmp_path / "youtube")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """See ``make_static_images``."""
    return make_static_images(tmp_path / "images")


@pytest.fixture
def grey(tmp_path: Path) -> Callable[[np.ndarray, str], Path]:
    """Writes an array as PNG and returns its path."""

    def write(values: np.ndarray, name: str = "mask.png") -> Path:
        path = tmp_path / name
        Image.fromarray(values).save(path)
        return path

    return write
