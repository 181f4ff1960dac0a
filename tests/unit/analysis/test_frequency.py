import numpy as np
import pytest
import torch
from doubles import PoolDouble
from scenes import ToyVideo
from unit.model.test_contract import build

from vosfw.analysis import frequency_response, plot_frequency
from vosfw.analysis.frequency import FrequencyResponse, frequency_ratio, radial_mean
from vosfw.engine.corrector import GradientCorrector
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError

EVERY = Engine(IntervalPolicy(1))


def test_ratio_of_a_wave_that_is_halved():
    x = torch.arange(16.0)
    wave = torch.cos(2 * torch.pi * 3 * x / 16).expand(8, 16)
    before = 5 + wave + torch.rand(8, 16, generator=torch.Generator().manual_seed(0))
    ratio = frequency_ratio(before, before - wave * torch.fft.fft2(before)[0, 3].abs() / 128)
    spectrum = torch.fft.fft2(before)
    assert ratio[0, 0].item() == pytest.approx(1, abs=1e-4)
    expected = (spectrum[0, 3] - 64 * spectrum[0, 3].abs() / 128).abs() / spectrum[0, 3].abs()
    assert ratio[0, 3].item() == pytest.approx(expected.item(), abs=1e-4)
    torch.testing.assert_close(frequency_ratio(before, before), torch.ones(8, 16), atol=1e-4, rtol=0)
    assert frequency_ratio(torch.zeros(4, 4), torch.zeros(4, 4)).isfinite().all()


def test_mean_over_the_corrected_frames_of_each_object():
    seen = []

    class Noting(GradientCorrector):
        def correct(self, segmenter, features, masks, reference, resize):
            found = super().correct(segmenter, features, masks, reference, resize)
            seen.append((masks.probs[0, 1:], found.masks.probs[0, 1:]))
            return found

    model, video = build("demo"), ToyVideo(frames=9, late={1: 4})
    got = frequency_response(model, video, EVERY, corrector=Noting(rate=20.0, steps=2, every=3))
    assert got.frames == (2, 1) and got.ratio.shape == (2, *seen[0][0].shape[-2:])
    first = torch.stack([frequency_ratio(before[0], after[0]) for before, after in seen]).mean(0)
    torch.testing.assert_close(got.ratio[0], first)
    torch.testing.assert_close(got.ratio[1], frequency_ratio(seen[1][0][1], seen[1][1][1]))
    assert not torch.allclose(got.ratio, torch.ones_like(got.ratio), atol=1e-2)


def test_the_engines_own_corrector():
    model, video = build("key"), ToyVideo(frames=4)
    engine = EVERY.replace(corrector=GradientCorrector(rate=0.0, steps=1, every=2))
    got = frequency_response(model, video, engine)
    # Nothing was changed; where a mask has next to nothing at a frequency the epsilon tells.
    assert got.frames == (1, 1) and got.ratio.max() <= 1 and got.ratio.median() > 0.999


def test_radial_mean():
    radius = torch.hypot(torch.fft.fftfreq(20)[:, None], torch.fft.fftfreq(30)[None])
    centres, means = radial_mean(torch.stack([radius, torch.ones(20, 30)]), bins=5)
    assert centres.tolist() == pytest.approx([0.05, 0.15, 0.25, 0.35, 0.45])
    np.testing.assert_allclose(means[0], centres, atol=0.03)
    torch.testing.assert_close(means[1], torch.ones(5))


def test_plot(tmp_path):
    ratio = torch.rand(3, 16, 24) + 0.5
    ratio[1] = torch.nan
    for name in ("a.png", "a.pdf"):
        plot_frequency(FrequencyResponse(ratio, (2, 0, 1)), tmp_path / name, "title")
        assert (tmp_path / name).stat().st_size > 5000


def test_refusals():
    video = ToyVideo(frames=3)
    with pytest.raises(ConfigError, match="the engine has no corrector"):
        frequency_response(build("key"), video)
    with pytest.raises(ConfigError, match=r"no frame of this video \(3 frames\) was corrected"):
        frequency_response(build("key"), video, corrector=GradientCorrector())
    with pytest.raises(ConfigError, match="PoolDouble"):
        frequency_response(PoolDouble(), video, corrector=GradientCorrector())
