import pytest
import torch
from PIL import Image

from vosfw.analysis import draw_perturbations, plot_robustness
from vosfw.data.synthetic import SyntheticDataset
from vosfw.errors import ConfigError
from vosfw.metrics.robustness import ObjectScore, robustness


@pytest.fixture(scope="module")
def video():
    return SyntheticDataset("test", 1, 4, (64, 96), (2, 2), 0).video(0)


def test_a_row_per_kind_and_a_tile_per_severity(video):
    sheet = draw_perturbations(video, ["brightness", "gaussian_noise_unclipped"], severities=(1, 5), height=64)
    assert sheet.dtype == torch.uint8 and sheet.shape == (3, 2 * 64 + 4, 2 * 96 + 4)
    weak, strong = sheet[:, 20:64, :96].float().mean(), sheet[:, 20:64, 100:].float().mean()
    assert strong > weak + 30


def test_given_masks_are_drawn(video):
    clean, wide = (draw_perturbations(video, [name], severities=(5,), height=64) for name in ("jpeg", "mask_box"))
    assert (clean != wide).float().mean() > 0.05


def test_unknown_names(video):
    with pytest.raises(ConfigError, match="no such choice"):
        draw_perturbations(video, ["nothing"])
    with pytest.raises(ConfigError, match="wanted 1 to 5"):
        draw_perturbations(video, ["fog"], severities=(6,))


def test_plot(tmp_path):
    clean = {"a": [ObjectScore(0.9)], "b": [ObjectScore(0.5)]}
    found = robustness(clean, {"fog": {"a": [ObjectScore(0.7)], "b": [ObjectScore(0.5)]}}, samples=50)
    plot_robustness(found, tmp_path / "plot.png", title="network")
    assert min(Image.open(tmp_path / "plot.png").size) > 200
    plot_robustness(found, tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").read_text().count("<svg") == 1
