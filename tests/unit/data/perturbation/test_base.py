import functools
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest
import torch
from layouts import make_youtube
from omegaconf import OmegaConf
from plain_videos import PlainVideos
from torch.utils.data import DataLoader

from vosfw.config import choices, choose, compose, instantiate
from vosfw.data.datamodule import VOSDataModule
from vosfw.data.davis import DavisDataset
from vosfw.data.perturbation.base import Dice, PerturbedDataset, VideoView
from vosfw.data.perturbation.none import NoPerturbation
from vosfw.data.synthetic import SyntheticDataset
from vosfw.data.youtube_vos import YouTubeVOSDataset
from vosfw.errors import ConfigError

KINDS = [name for name in choices("data/perturbation") if name != "none"]
GROUP = "data/perturbation"
node = functools.cache(partial(choose, GROUP))


def part(name, severity):
    return instantiate(OmegaConf.merge(node(name), {"severity": severity}))


def synthetic(name, **options):
    videos = SyntheticDataset("test", 1, 12, (32, 48), (2, 2), 0)
    return PerturbedDataset(videos, instantiate(choose(GROUP, {"name": name, **options})))


def read_all(names):
    """Some frames and the given masks, of every kind."""
    found = []
    for video in (synthetic(name).video(0) for name in names):
        found += [video.frame(t) for t in (7, 0)] + [video.given_mask(t) for t in video.given]
    return [tensor.numpy().tobytes() for tensor in found]


class Reader:
    """A dataset of frames, for loader workers."""

    def __init__(self, name):
        self.name = name

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return synthetic(self.name).video(0).frame(index)


def test_the_same_bytes_in_another_process():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(read_all, KINDS).result() == read_all(KINDS)


def test_the_same_bytes_from_loader_workers():
    loaded = torch.cat(list(DataLoader(Reader("gaussian_noise"), batch_size=1, num_workers=2)))
    video = synthetic("gaussian_noise").video(0)
    assert torch.equal(loaded, torch.stack([video.frame(t) for t in range(12)]))


class Stored(VideoView):
    """Renders every frame once."""

    def __init__(self, video):
        super().__init__(video)
        self.pictures = [video.frame(t) for t in range(len(video))]

    def frame(self, index):
        return self.pictures[index]


@pytest.fixture(scope="module")
def clean():
    return Stored(SyntheticDataset("test", 1, 12, (32, 48), (2, 2), 0).video(0))


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_at_every_severity(name, severity, clean):
    """Of its size and type; it does something, and leaves alone what is not its own; it can be pickled."""
    video = part(name, severity).apply(clean)
    assert (video.ids, video.given, video.size, video.frames) == (clean.ids, clean.given, clean.size, clean.frames)
    assert all(torch.equal(video.truth(t), clean.truth(t)) for t in (0, 5))
    frames = [video.frame(t) for t in range(12)]
    kind = torch.float32 if name == "gaussian_noise_unclipped" else torch.uint8
    assert all(frame.dtype == kind and frame.shape == (3, 32, 48) for frame in frames)
    changed = [not torch.equal(frame, clean.frame(t)) for t, frame in enumerate(frames)]
    masks = [not torch.equal(video.given_mask(t), clean.given_mask(t)) for t in clean.given]
    if name.startswith("mask"):
        assert not any(changed) and any(masks)
    elif name in ("frame_drop", "freeze", "frame_rate"):
        assert any(changed) or severity == 1
        assert not any(masks) and not any(changed[t] for t in clean.given)
    else:
        assert all(changed) and not any(masks)
    assert torch.equal(pickle.loads(pickle.dumps(video)).frame(3), frames[3])


@pytest.mark.parametrize("name", KINDS)
def test_severities_that_do_not_exist(name):
    for severity in (0, 99, True):
        with pytest.raises(ConfigError, match=r"severity is .*wanted"):
            part(name, severity)


def test_a_number_in_place_of_the_scale():
    assert instantiate(choose(GROUP, {"name": "gaussian_noise", "sigma": 12, "severity": 9})).sigma == 12


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("gaussian_noise", "sigma", -1),
        ("gaussian_blur", "kernel", 4),
        ("gaussian_blur", "kernel", 2.5),
        ("jpeg", "quality", 101),
        ("fog", "density", 1),
        ("frame_rate", "every", 0),
        ("freeze", "length", 0),
        ("mask_scribble", "points", 1),
    ],
)
def test_numbers_out_of_range(name, option, value):
    with pytest.raises(ConfigError, match=f"{option} is {value}; wanted"):
        instantiate(choose(GROUP, {"name": name, option: value}))


def test_unknown_names_and_options():
    with pytest.raises(ConfigError, match="did you mean gaussian_noise"):
        choose(GROUP, "gausian_noise")
    with pytest.raises(ConfigError, match=r"has no option sigm; it has severity, sigma"):
        choose(GROUP, {"name": "gaussian_noise", "sigm": 3})
    with pytest.raises(ConfigError, match="wanted the name of a choice"):
        choose(GROUP, {"severity": 3})


def test_dice_differ_in_every_name():
    dice = Dice(0, "kind", "video", "frame")
    others = [
        dice._replace(seed=1),
        dice._replace(kind="other"),
        dice._replace(video="other"),
        dice._replace(frame="other"),
        Dice(0, "kindvideo", "", "frame"),
    ]
    draws = [d.of_frame().random() for d in (dice, *others)]
    assert len(set(draws)) == len(draws)
    assert dice.of_video().random() == others[3].of_video().random() != others[2].of_video().random()
    # Fixed once for all: a change of these numbers would change every published perturbed set.
    assert dice.of_frame().integers(1000, size=4).tolist() == EXPECTED


EXPECTED = [792, 373, 179, 926]


def test_a_frame_has_the_same_noise_in_any_subset_of_frames(tmp_path):
    """By its name, not its number."""
    root = make_youtube(tmp_path)
    noise = instantiate(choose(GROUP, "salt_and_pepper"))
    few = PerturbedDataset(YouTubeVOSDataset(root), noise).video(0)
    every = PerturbedDataset(YouTubeVOSDataset(root, all_frames=True), noise).video(0)
    assert few.frames[2] == every.frames[10] == "00010"
    changed = [v.frame(t) != v.video.frame(t) for v, t in ((few, 2), (every, 10))]
    assert torch.equal(*changed) and changed[0].any()


def test_only_test_and_prediction_are_perturbed(davis):
    config = compose(["data=davis", f"data.root={davis}", "data/perturbation=salt_and_pepper"], "evaluate")
    module, clean = instantiate(config.data), DavisDataset(davis, "val").video(0)
    for name, changed in (("test", True), ("predict", True), ("val", False)):
        assert torch.equal(module.dataset(name).video(0).frame(1), clean.frame(1)) != changed
    assert not isinstance(module.dataset("train"), PerturbedDataset)


def test_without_perturbation_the_data_set_is_the_same_object():
    videos = PlainVideos([3])
    assert VOSDataModule(test=videos, perturbation=NoPerturbation()).dataset("test") is videos


def test_groups_and_given_frames_of_youtube_vos_stay(tmp_path):
    root = make_youtube(tmp_path)
    clean = YouTubeVOSDataset(root).video(0)
    video = PerturbedDataset(YouTubeVOSDataset(root), instantiate(choose(GROUP, "fog"))).video(0)
    assert video.groups == clean.groups != {} and video.given == clean.given and video.join == "any"
