import pytest

from vosfw.data.dataset import ClipRequest
from vosfw.data.mixture import MixtureDataset
from vosfw.data.synthetic import SyntheticDataset
from vosfw.errors import ConfigError


def part(videos: int, split: str = "train") -> SyntheticDataset:
    return SyntheticDataset(split, videos, 6, (32, 48))


def test_parts_one_after_the_other() -> None:
    mixture = MixtureDataset({"a": part(2), "b": lambda: part(3, "val")})
    assert mixture.videos == ("train-0000", "train-0001", "val-0000", "val-0001", "val-0002")
    assert mixture.lengths == [6] * 5
    assert [list(frames) for frames in mixture.annotated] == [list(range(6))] * 5
    assert mixture.video(4).name == "val-0002"
    assert mixture[ClipRequest(3, (0, 1), 7)].meta.video == "val-0001"


@pytest.mark.parametrize(
    ("ratios", "repeats", "counts"),
    [({"a": 2, "b": 1}, None, (6, 3)), ({"a": 1, "b": 4}, None, (2, 8)), (None, {"a": 5}, (10, 3))],
)
def test_proportions(ratios, repeats, counts) -> None:  # type: ignore[no-untyped-def]
    """Every video comes at least once, and as evenly as can be."""
    videos = MixtureDataset({"a": part(2), "b": part(3, "val")}, ratios, repeats).videos
    found = [videos.count(name) for name in sorted(set(videos))]
    assert (sum(found[:2]), sum(found[2:])) == counts
    assert max(found[:2]) - min(found[:2]) <= 1 and max(found[2:]) - min(found[2:]) <= 1


@pytest.mark.parametrize(
    ("ratios", "repeats"),
    [
        ({"a": 1}, None),
        ({"a": 1, "c": 2}, None),
        ({"a": -1, "b": 1}, None),
        ({"a": 0, "b": 0}, None),
        (None, {"c": 2}),
        ({"a": 1, "b": 1}, {"a": 2}),
    ],
)
def test_wrong_proportions(ratios, repeats) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="wanted"):
        MixtureDataset({"a": part(2), "b": part(3)}, ratios, repeats)
