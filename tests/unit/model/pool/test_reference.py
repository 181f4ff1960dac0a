from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from vosfw.errors import ConfigError
from vosfw.model.pool.reference import Reference, ReferencePool, References
from vosfw.ops.proxies import ObjectSums


class Index(NamedTuple):
    name: Tensor


def frame(name, reliability=(1.0,), objects=2):
    """A reference whose every number is ``name``."""
    batch = len(reliability)
    sums = ObjectSums(*(torch.full(s, float(name)) for s in ((batch, objects, 3), (batch, objects), (batch, 3))), None)
    sums = sums._replace(cells=torch.full((batch,), float(name)))
    return Reference(Index(torch.full((batch, 4), name)), sums, torch.tensor(reliability))


def fill(pool, frames, given=(0,)):
    references = References((), ())
    for i, each in enumerate(frames):
        references = pool.add(references, each, given=i in given)
    return references


def names(frames):
    """Per video of the batch."""
    return torch.stack([each.index.name[:, 0] for each in frames], 1).tolist() if frames else [[]]


def test_without_limit_all_stay_in_order():
    references = fill(ReferencePool(), [frame(i) for i in range(5)], given=(0, 3))
    assert names(references.given) == [[0, 3]]
    assert names(references.predicted) == [[1, 2, 4]]


@pytest.mark.parametrize("policy", ["newest", "most_reliable"])
@pytest.mark.parametrize("most", [0, 1])
def test_given_frames_never_leave(policy, most):
    reliability = [0.0, 0.9, 0.0, 0.8, 0.0]
    pool = ReferencePool(most, policy)
    references = fill(pool, [frame(i, (r,)) for i, r in enumerate(reliability)], given=(0, 2, 4))
    assert names(references.given) == [[0, 2, 4]]
    assert names(references.predicted) == ([[]] if most == 0 else [[3]] if policy == "newest" else [[1]])


def test_the_newest_stay():
    references = fill(ReferencePool(2), [frame(i) for i in range(6)])
    assert names(references.predicted) == [[4, 5]]


def test_the_most_reliable_stay_in_order_for_each_video_of_its_own():
    reliability = [(1, 1), (0.9, 0.1), (0.2, 0.8), (0.5, 0.5), (0.1, 0.3)]
    references = fill(ReferencePool(2, "most_reliable"), [frame(i, r) for i, r in enumerate(reliability)])
    assert names(references.predicted) == [[1, 3], [2, 3]]
    for each, kept in zip(references.predicted, ((1, 2), (3, 3)), strict=True):
        for part in (*each.sums, each.index.name):
            assert part.reshape(2, -1)[:, 0].tolist() == list(kept)
        assert torch.equal(each.reliability, torch.tensor([reliability[kept[0]][0], reliability[kept[1]][1]]))


def test_of_equally_reliable_frames_the_newest_stay():
    references = fill(ReferencePool(2, "most_reliable"), [frame(i, (0.5,)) for i in range(5)])
    assert names(references.predicted) == [[3, 4]]


def test_frames_from_before_an_object_joined_give_way_first():
    frames = [frame(0), frame(1, (0.9,)), frame(2, (0.8,)), frame(3, (0.1,), objects=3)]
    assert names(fill(ReferencePool(2, "most_reliable"), frames).predicted) == [[2, 3]]


def test_predicted_frames_may_count_in_the_descriptors_alone():
    frames = [frame(i + 1) for i in range(3)]
    for similarity, wanted in (("all", [1, 2, 3]), ("given", [1])):
        pool = ReferencePool(similarity=similarity)
        references = fill(pool, frames)
        assert [index.name[0, 0].item() for index in pool.indices(references)] == wanted
        assert pool.sums(references, frames[0].sums).cells.item() == 6


def test_frames_with_fewer_objects_add_nothing_for_the_others():
    pool = ReferencePool()
    references = fill(pool, [frame(1, objects=2), frame(5, objects=3)])
    sums = pool.sums(references, frame(0, objects=4).sums)
    assert sums.area.tolist() == [[6, 6, 5, 0]]
    assert sums.inside[0, :, 0].tolist() == [6, 6, 5, 0]
    assert sums.total[0, 0] == 6 and sums.cells[0] == 6


@pytest.mark.parametrize(
    ("options", "match"),
    [({"max_frames": -1}, "max_frames"), ({"policy": "oldest"}, "policy"), ({"similarity": "none"}, "similarity")],
)
def test_bad_options(options, match):
    with pytest.raises(ConfigError, match=match):
        ReferencePool(**options)
