import colorsys

import numpy as np
import pytest
import torch

from vosfw.data.jitter import Jitter, draw_jitter, recolored

FRAMES = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.1
WEIGHTS = torch.tensor([0.299, 0.587, 0.114])[:, None, None]


def apply(kind: int, factors: tuple[float, float]) -> torch.Tensor:
    values = torch.tensor([1.0, 1.0, 1.0, 0.0]).repeat(2, 1)
    values[:, kind] = torch.tensor(factors)
    amounts = [1.0 if i == kind else 0 for i in range(4)]
    return recolored(FRAMES, Jitter((3, 2, 1, 0), values), amounts)


@pytest.mark.parametrize("factors", [(1.2, 0.7), (1.0, 1.1)])
def test_brightness_contrast_and_saturation(factors: tuple[float, float]) -> None:
    factor = torch.tensor(factors)[:, None, None, None]
    gray = (FRAMES * WEIGHTS).sum(1, keepdim=True)
    assert torch.allclose(apply(0, factors), (FRAMES * factor).clamp(0, 1), atol=1e-5)
    mean = gray.mean((1, 2, 3), keepdim=True)
    assert torch.allclose(apply(1, factors), (factor * FRAMES + (1 - factor) * mean).clamp(0, 1), atol=1e-5)
    assert torch.allclose(apply(2, factors), (factor * FRAMES + (1 - factor) * gray).clamp(0, 1), atol=1e-5)


def test_hue_is_in_turns() -> None:
    turned = apply(3, (0.25, -0.1))
    for frame, turn in ((0, 0.25), (1, -0.1)):
        hue, saturation, value = colorsys.rgb_to_hsv(*FRAMES[frame, :, 2, 3].tolist())
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        assert turned[frame, :, 2, 3].tolist() == pytest.approx(expected, abs=1e-4)


def test_shared_and_own_factors() -> None:
    shared = draw_jitter(np.random.default_rng(0), (0.1, 0.2, 0.3, 0.05), 1, 4).factors
    assert torch.equal(shared, shared[:1].expand(4, 4))
    own = draw_jitter(np.random.default_rng(0), (0.1, 0.2, 0.3, 0.05), 4, 4)
    assert len(own.factors.unique(dim=0)) == 4
    assert sorted(own.order) == [0, 1, 2, 3]


def test_ranges_and_orders() -> None:
    draw = np.random.default_rng(1)
    drawn = [draw_jitter(draw, (0.1, 0.2, 0.3, 0.05), 1, 1) for _ in range(500)]
    factors = torch.cat([jitter.factors for jitter in drawn])
    limits = torch.tensor([0.1, 0.2, 0.3, 0.05])
    offsets = (factors - torch.tensor([1.0, 1.0, 1.0, 0.0])).abs()
    assert (offsets.amax(0) <= limits + 1e-6).all()
    assert (offsets.amax(0) > 0.95 * limits).all()
    assert len({jitter.order for jitter in drawn}) == 24


def test_nothing_to_do_leaves_frames_alone() -> None:
    jitter = draw_jitter(np.random.default_rng(0), (0, 0, 0, 0), 1, 2)
    assert recolored(FRAMES, jitter, (0, 0, 0, 0)) is FRAMES
