import numpy as np
import pytest
import torch

from vosfw.data.texture import PATTERNS, noise, texture

FAMILIES = [(split, name) for split, patterns in PATTERNS.items() for name in patterns]


@pytest.mark.parametrize(("split", "name"), FAMILIES)
def test_patterns_vary_within_their_range(split: str, name: str) -> None:
    field = PATTERNS[split][name](np.random.default_rng(3), 40, 56)
    assert field.shape == (40, 56)
    assert field.min() >= -1e-4
    assert field.max() <= 1.3
    assert field.std() > 0.05


def test_textures_are_coloured_by_the_hue() -> None:
    for hue, channel in ((0.0, 0), (1 / 3, 1), (2 / 3, 2)):
        picture = texture(np.random.default_rng(1), "test", 32, 32, hue)
        assert picture.shape == (3, 32, 32)
        assert picture.dtype == torch.float32
        assert 0 <= picture.min() <= picture.max() <= 1
        assert picture.mean((1, 2)).argmax() == channel


def test_seeds_decide() -> None:
    first, again, other = (texture(np.random.default_rng(seed), "train", 24, 24) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_noise_is_coarse_or_fine_as_asked() -> None:
    coarse, fine = (noise(np.random.default_rng(0), 64, 64, cell) for cell in (40, 4))
    steps = [(field[:, 1:] - field[:, :-1]).abs().mean() for field in (coarse, fine)]
    assert steps[0] < steps[1] / 2
