"""Fixtures of the matching family: numbers of the released code for generated weights and videos."""

import importlib.util
import json
import re

import numpy as np
import torch
from torch.nn import functional as F

import vosfw
from vosfw.convert.__main__ import main as convert
from vosfw.ops.kmeans import Clustering
from vosfw.types import ObjectMasks

FILTERED = 125
"""Label of a pixel that is not to be trusted, in the fixtures."""
COMPOSITION = {"aoc": "aoc_released"}
"""Of systems whose name is not their composition's."""


class Golden:
    """The fixtures of one system."""

    def __init__(self, folder, system):
        spec = importlib.util.spec_from_file_location("weights", folder / "weights.py")
        self.rules = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.rules)
        self.system, self.inputs = system, np.load(folder / "inputs.npz")
        self.keys, self.cases = (json.loads((folder / system / f"{n}.json").read_text()) for n in ("keys", "modules"))
        names = ("modules", "forward", "forward_ms")
        self.modules, self.forward, self.versions = (np.load(folder / system / f"{name}.npz") for name in names)

    def part(self, case, name):
        """An input of a module's test."""
        return torch.from_numpy(self.rules.build_input(self.cases[case]["inputs"][name]))

    def check(self, case, got):
        """A module's result, of which every n-th value per axis is stored."""
        stride = self.cases[case]["stored_stride"]
        got = got[tuple(slice(None, None, step) for step in stride)] if stride else got
        torch.testing.assert_close(got, torch.from_numpy(self.modules[case]), atol=5e-5, rtol=0)

    def network(self, folder):
        """The network with generated weights, which come in as a user's checkpoint does."""
        name = COMPOSITION.get(self.system, self.system)
        target = folder / f"{name}.safetensors"
        if not target.exists():
            state = {name: torch.from_numpy(value) for name, value in self.rules.fill_keys(self.keys).items()}
            torch.save({"state_dict": state}, target.with_suffix(".pth"))
            assert convert([name, str(target.with_suffix(".pth")), str(target)]) == 0
        return vosfw.load(target)


def one_hot(labels, objects):
    return torch.stack([(labels == k).float() for k in range(objects)])[None]


def channels_first(tensor):
    return tensor.permute(2, 0, 1)[None]


def cases(fixtures, pattern):
    found = [name for name in fixtures.cases if re.fullmatch(pattern, name)]
    assert found
    return found


class Scene:
    """A generated video with the interface that the engine reads; ids are slots."""

    def __init__(self, fixtures, name):
        self.images = fixtures.inputs[f"{name}/frames"]
        self.size = self.images.shape[1:3]
        self.annotations = {
            int(match[1]): torch.from_numpy(fixtures.inputs[key])
            for key in fixtures.inputs.files
            if (match := re.fullmatch(rf"{name}/annotation_f(\d+)", key))
        }
        self.given = {t: tuple((ids.unique()[1:] - 1).tolist()) for t, ids in self.annotations.items()}
        self.wanted = (True,) * len(self.images)

    def __len__(self):
        return len(self.images)

    def frame(self, index):
        """RGB; the fixtures are in the order in which OpenCV reads."""
        return torch.from_numpy(self.images[index][..., ::-1].copy()).permute(2, 0, 1)

    def given_mask(self, index):
        return self.annotations[index]


def masks_of(label, objects):
    """A label map of the fixtures as masks; filtered pixels have weight 0."""
    labels = torch.from_numpy(label)[None]
    plain = torch.where(labels == FILTERED, 255, labels)
    return ObjectMasks.from_labels(plain, torch.ones(1, objects, dtype=torch.bool))


class Recorded:
    """In place of K-Means: the clusters that the released code found, in the order of its calls.

    ``otherwise`` is called where they are those of other points.
    """

    def __init__(self, arrays, prefix, otherwise=None):
        self.otherwise = otherwise
        names = sorted(n for n in arrays.files if re.fullmatch(rf"{prefix}/kmeans\d+_labels", n))
        self.labels = [torch.from_numpy(arrays[name]).long() for name in names]

    def __call__(self, points, owner, objects, clusters, **options):
        if self.otherwise and (not self.labels or len(self.labels[0]) != points.shape[1]):
            self.labels.clear()
            return self.otherwise(points, owner, objects, clusters, **options)
        found, points = self.labels.pop(0), points[0].float()
        assert len(found) == len(points) and objects == len(owner) == 1
        assert int(found.max()) < clusters and options["start"] == "even"
        hot = F.one_hot(found, clusters).float()
        count = hot.sum(0)
        start = points[[int((j + 0.5) * len(points) / clusters) for j in range(clusters)]]
        centers = torch.where(count[:, None] > 0, hot.T @ points / count[:, None].clamp(min=1), start)
        return Clustering(found[None], centers[None, None], count.long()[None, None], count.new_zeros(1, 1).long())
