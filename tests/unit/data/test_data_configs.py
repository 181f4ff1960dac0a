from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import vosfw.data.augment
from vosfw.config import config_dir
from vosfw.data.datamodule import VOSDataModule
from vosfw.data.sampler import PerClipSampler, PerFrameSampler, TripleSampler
from vosfw.errors import ConfigError, DatasetError


def config(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose(f"data/{name}", overrides=list(overrides)).data


def build(name: str, *overrides: str) -> VOSDataModule:
    data: VOSDataModule = instantiate(config(name, overrides))
    return data


def test_synthetic() -> None:
    data = build("synthetic")
    data.setup()
    assert (data.dataset("train").split, data.dataset("val").split, data.dataset("test").split) == (
        "train",
        "val",
        "test",
    )
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch.frames.shape == (4, 3, 3, 96, 160)
    assert isinstance(data.train_sampler, PerFrameSampler)


def test_synthetic_overrides() -> None:
    data = build(
        "synthetic",
        "data/augment=stcn",
        "data/sampler=per_clip",
        "data.train.size=[48,64]",
        "data.train.videos=6",
        "data.split=val",
        "data.batch_size=2",
        "data.sampler.clip_length=2",
    )
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch.frames.shape == (2, 5, 3, 48, 64)
    assert data.dataset("test").split == "val"
    assert data.dataset("val").size == (48, 64)


@pytest.mark.parametrize(
    ("split", "videos"),
    [
        ("val", ("bird", "single")),
        ("[dog,bird]", ("dog", "bird")),
        ("cat", ("cat",)),
        ("all", ("bird", "cat", "dog", "single")),
    ],
)
def test_davis(davis: Path, split: str, videos: tuple[str, ...]) -> None:
    data = build("davis", f"data.root={davis}", f"data.split={split}")
    data.setup()
    assert tuple(video.name for video in data.test_dataloader()) == videos
    assert data.dataset("train").videos == ("cat", "dog")
    assert data.dataset("val").videos == ("bird", "single")
    assert (data.root, data.split) == (str(davis), split if split[0] != "[" else ["dog", "bird"])


def test_davis_clips(davis: Path) -> None:
    data = build("davis", f"data.root={davis}", "data.batch_size=1", "data.num_workers=0")
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch.frames.shape == (1, 3, 3, 384, 384)


def test_davis_2016(davis: Path) -> None:
    data = build("davis16", f"data.root={davis}")
    assert all(data.dataset(name).binary for name in ("train", "val", "test"))
    assert [video.ids for video in data.test_dataloader()] == [(1,), (1,)]


def test_folder(folder: Path) -> None:
    (folder / "train.txt").write_text("walk\n")
    data = build("folder", f"data.root={folder}", "data.train_split=train", "data.split=run")
    data.setup()
    assert data.dataset("train").videos == ("walk",)
    assert data.dataset("val").videos == ("run", "walk")
    assert data.dataset("test").videos == ("run",)


@pytest.mark.parametrize("name", ["davis", "folder"])
def test_root_must_be_given(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Set data\.root=DIR"):
        build(name).setup("test")
    with pytest.raises(DatasetError, match=r"Set data\.root"):
        build(name, f"data.root={tmp_path}").setup("test")


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(HydraException, match="batchsize"):
        config("synthetic", ["data.batchsize=3"])


def test_targets_follow_paths() -> None:
    root = config_dir() / "data"
    files = sorted(root.rglob("*.yaml"))
    assert len(files) >= 8
    for path in files:
        target = OmegaConf.load(path).get("_target_", "vosfw.data.datamodule.VOSDataModule")
        group = path.parent.relative_to(root.parent).as_posix().replace("/", ".")
        assert target.startswith(f"vosfw.{group}."), path


def test_stcn_is_the_default_of_the_code() -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        options = OmegaConf.to_container(compose("data/augment/stcn").data.augment)
    options.pop("_target_")
    built, default = vosfw.data.augment.ClipAugment(**options), vosfw.data.augment.ClipAugment()
    for name, value in vars(default).items():
        assert str(vars(built)[name]) == str(value), name


def test_per_clip_is_pcvos() -> None:
    data = build("synthetic", "data/sampler=per_clip")
    data.train_dataloader()
    sampler = data.train_sampler
    assert isinstance(sampler, PerClipSampler)
    assert (sampler.clip_length, sampler.clips, sampler.inner_skip) == (3, 2, 5)


def test_triple_and_crop_are_cfbi() -> None:
    choices = ["data/sampler=triple", "data/augment=cfbi"]
    augment = instantiate(config("davis", choices).augment)
    assert (augment.crop, augment.short_side, augment.flip) == ((465, 465), (480, 624), 0.5)
    assert (augment.min_pixels, augment.max_objects, augment.antialias) == (101, 5, False)
    data = build("synthetic", *choices, "data.sampler.foreground=20", "data.augment.short_side=[96,120]")
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert isinstance(data.train_sampler, TripleSampler)
    assert data.train_sampler.foreground == 20
    assert batch.frames.shape == (4, 5, 3, 96, 160)
    assert torch.equal(batch.given[:, :2], batch.valid[:, None].expand(-1, 2, -1))
    assert not batch.given[:, 2:].any()
