import numpy as np
import pytest
import torch
from PIL import Image

from vosfw.data.photograph import PACKAGED, PACKAGES, photograph, photograph_files
from vosfw.data.synthetic import SyntheticDataset
from vosfw.errors import ConfigError


@pytest.fixture
def album(tmp_path):
    """Two photographs: one red, one with a ramp."""
    Image.new("RGB", (90, 60), (200, 30, 30)).save(tmp_path / "red.png")
    (tmp_path / "more").mkdir()
    ramp = np.linspace(0, 255, 900, dtype=np.uint8)[None, :, None].repeat(700, 0).repeat(3, 2)
    Image.fromarray(ramp).save(tmp_path / "more" / "ramp.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_files_of_a_folder(album):
    assert [path.name for path in photograph_files(str(album))] == ["ramp.jpg", "red.png"]


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(ConfigError, match="no pictures"):
        photograph_files(str(tmp_path))


def test_packaged_photographs_are_found_or_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr("vosfw.data.photograph.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install scikit-image scikit-learn"):
        photograph_files(PACKAGED)
    (tmp_path / "datasets" / "images").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "datasets" / "images" / "china.jpg")
    (tmp_path / "datasets" / "images" / "other.jpg").touch()
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr("vosfw.data.photograph.find_spec", lambda name: spec if name == "sklearn" else None)
    assert [path.name for path in photograph_files(PACKAGED)] == ["china.jpg"]
    assert "china" in PACKAGES["sklearn"][1]


def test_parts_are_random_and_repeat(album):
    files = photograph_files(str(album))
    parts = [photograph(np.random.default_rng(seed), files, 40, 56) for seed in (0, 0, 1, 2, 3)]
    assert all(part.shape == (3, 40, 56) and part.min() >= 0 and part.max() <= 1 for part in parts)
    assert torch.equal(parts[0], parts[1])
    assert len({part.sum().item() for part in parts[1:]}) == 4


def test_surfaces_of_a_synthetic_video(album):
    """With nothing but one red photograph a background of three surfaces has at most three colours."""
    (album / "more" / "ramp.jpg").unlink()
    plain, photos = (
        SyntheticDataset("train", 1, 2, (48, 80), seed=3, photographs=source, photograph_share=1.0).video(0)
        for source in (None, str(album))
    )
    assert not torch.equal(plain.frame(0), photos.frame(0))
    colors = [video._scene.background.flatten(1).mul(255).round().unique(dim=1).shape[1] for video in (plain, photos)]
    assert colors[1] <= 3 < colors[0]


def test_creatures_and_sizes():
    small, large = (
        SyntheticDataset("train", 4, 2, (96, 160), radius=r, creatures=1.0) for r in ((0.1, 0.1), (0.3, 0.3))
    )
    for dataset, radius in ((small, 9.6), (large, 28.8)):
        bodies = [body for i in range(4) for body in dataset.video(i)._scene.bodies]
        assert all(body.radius == pytest.approx(radius) and len(body.parts) >= 3 for body in bodies)
    with pytest.raises(ConfigError, match="radius is a range"):
        SyntheticDataset(radius=(0.3, 0.2))
