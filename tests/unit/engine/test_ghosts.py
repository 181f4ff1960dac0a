"""Ids without a mask."""

import pytest
import torch
from doubles import PoolDouble
from scenes import ToyVideo

from vosfw.engine.engine import Engine
from vosfw.engine.ghosts import GhostVideo
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError

FAMILY = {"merge": "overwrite", "mask_size": "original", "resize_of": "logits", "align_corners": True}


class Holes:
    """Objects with the ids 1 and 3 in frame 0, and another id in frame 3."""

    def __init__(self, late):
        self.video, self.ids = ToyVideo(frames=6, objects=3, size=(33, 49)), (1, 3, late)
        self.size, self.wanted, self.frame = self.video.size, (True,) * 6, self.video.frame
        self.given = {0: (0, 1), 3: (2,)}

    def __len__(self):
        return 6

    def given_mask(self, index):
        labels, slots = self.video.labels[index], torch.tensor(self.given[index])
        return torch.where(torch.isin(labels, slots + 1), labels, 0)


class Explicit(Holes):
    """Ids 1 and 3 as the first and third of three given slots, of which the second is empty."""

    def __init__(self):
        super().__init__(late=5)
        self.given = {0: (0, 1, 2)}

    def given_mask(self, index):
        labels = self.video.labels[index]
        return torch.where(labels == 1, 1, torch.where(labels == 2, 3, 0)).to(torch.uint8)


@torch.no_grad()
def run(video, **options):
    torch.manual_seed(0)
    model = PoolDouble().eval()
    engine = Engine(IntervalPolicy(2, anchor="start", recent=True), **FAMILY, **options)
    geometry = engine.geometry(video.size, model.grid)
    return [(engine.publish(step, geometry), engine.labels(step, geometry)) for step in engine.run(model, video, "cpu")]


def test_a_ghost_comes_with_the_first_larger_id():
    video = GhostVideo(Holes(late=5))
    assert video.given == {0: (0, 1, 2), 3: (3, 4)}
    assert [video.ghosts(t) for t in (0, 2, 3)] == [(1,), (1,), (1, 3)]
    filled = GhostVideo(Holes(late=2))
    assert filled.given == {0: (0, 1, 2), 3: (1,)}
    assert [filled.ghosts(t) for t in (0, 3)] == [(1,), ()]


def test_masks_are_numbered_by_id():
    video = Holes(late=5)
    wide, plain = GhostVideo(video).given_mask(0), video.given_mask(0)
    assert plain.any()
    assert torch.equal(wide == 3, plain == 2) and torch.equal(wide == 1, plain == 1) and not (wide == 2).any()


@pytest.mark.parametrize("late", [2, 5])
def test_only_the_own_objects_of_the_video_are_published(late):
    found = run(Holes(late), ghost_slots=True)
    assert [probs.shape[1] for probs, _ in found] == [3, 3, 3, 4, 4, 4]
    assert all(labels.max() <= probs.shape[1] - 1 for probs, labels in found)
    given = Holes(late).given_mask(3)
    assert torch.equal(found[3][1][0][given == 3], given[given == 3])


def test_it_is_as_if_an_empty_object_were_given():
    """Up to the first frame that is predicted from a prediction, in which no pixel may be a ghost's."""
    video = Holes(late=5)
    video.given, video.ids = {0: (0, 1)}, (1, 3)
    found, wanted, without = run(video, ghost_slots=True), run(Explicit()), run(video)
    for t in range(2):
        torch.testing.assert_close(found[t][0], wanted[t][0][:, [0, 1, 3]], atol=0, rtol=0)
    assert not torch.equal(found[1][0], without[1][0])


def test_without_holes_nothing_changes():
    video = Holes(late=3)
    video.ids = (1, 2, 3)
    for (one, labels), (two, same) in zip(run(video, ghost_slots=True), run(video), strict=True):
        assert torch.equal(one, two) and torch.equal(labels, same)


def test_ids_must_be_known_and_small():
    video = Holes(late=300)
    with pytest.raises(ConfigError, match="id 300"):
        run(video, ghost_slots=True)
    del video.ids
    with pytest.raises(ConfigError, match="tells the ids"):
        run(video, ghost_slots=True)
