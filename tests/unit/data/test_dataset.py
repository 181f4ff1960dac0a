from collections.abc import Sequence

import torch

from vosfw.data.dataset import TRIES, Attempt, ClipRequest, VideoDataset
from vosfw.data.video import Video

SIZE = (4, 6)


class Flicker(Video):
    """Object ``t + 1`` is alone in frame ``t``, if that is one of the shown frames; object 9 always with it."""

    size = SIZE

    def __init__(self, length: int, shown: Sequence[int]) -> None:
        super().__init__("flicker", [f"{t:03d}" for t in range(length)], range(length), join="any")
        self.shown = shown

    def frame(self, index: int) -> torch.Tensor:
        return torch.full((3, *SIZE), index, dtype=torch.uint8)

    def id_map(self, index: int) -> torch.Tensor:
        ids = torch.zeros(SIZE, dtype=torch.uint8)
        if index in self.shown:
            ids[0], ids[1], ids[2] = index + 1, 9, 255
        return ids


class Flickers(VideoDataset):
    def __init__(self, length: int, shown: Sequence[int]) -> None:
        super().__init__(["flicker"])
        self.length, self.shown = length, shown

    def video(self, index: int) -> Flicker:
        return Flicker(self.length, self.shown)

    @property
    def lengths(self) -> list[int]:
        return [self.length]

    @property
    def annotated(self) -> list[range]:
        return [range(self.length)]


def test_slots_are_the_objects_of_the_first_frame() -> None:
    sample = Flickers(8, range(8))[ClipRequest(0, (3, 5, 4), 7)]
    assert sample.frames[:, 0, 0, 0].tolist() == [3, 5, 4]
    assert sample.labels[:, :, 0].tolist() == [[1, 2, 255, 0], [0, 2, 255, 0], [0, 2, 255, 0]]
    assert sample.given.tolist() == [[True, True], [False, False], [False, False]]
    assert sample.meta == ("flicker", ("003", "005", "004"), (4, 9), SIZE, 7)


def test_a_clip_is_a_pure_function_of_its_request() -> None:
    dataset, request = Flickers(20, (4, 11)), ClipRequest(0, (0, 2, 3), 12)
    torch.manual_seed(0)
    first = dataset[request]
    torch.manual_seed(1)
    second = dataset[request]
    assert first.meta == second.meta
    assert torch.equal(first.labels, second.labels)


def test_clips_without_objects_move_in_time_with_their_gaps() -> None:
    moved = 0
    for seed in range(40):
        sample = Flickers(12, range(6, 12))[ClipRequest(0, (2, 4, 3), seed)]
        start, *rest = (int(name) for name in sample.meta.frames)
        assert [t - start for t in rest] == [2, 1]
        assert bool(sample.meta.ids) == (start >= 6)
        moved += bool(sample.meta.ids)
    assert moved > 30


def test_after_five_draws_the_clip_is_background(monkeypatch) -> None:
    looked = []
    plain = Flicker.id_map
    monkeypatch.setattr(Flicker, "id_map", lambda self, t: (looked.append(t), plain(self, t))[1])
    sample = Flickers(9, ())[ClipRequest(0, (1, 2), 3)]
    assert len(looked) == TRIES + 1
    assert sample.given.shape == (2, 0)
    assert sample.meta.ids == ()
    assert not sample.labels.any()


def chosen(shown: Sequence[int], *attempts: Attempt, foreground: int = 0) -> list[int]:
    request = ClipRequest(0, (0, 0, 0), 5, 2, attempts, foreground)
    sample = Flickers(12, shown)[request]
    assert sample.given[:2].all()
    assert not sample.given[2:].any()
    assert sample.frames[:, 0, 0, 0].tolist() == [int(name) for name in sample.meta.frames]
    return [int(name) for name in sample.meta.frames]


def test_the_first_reference_that_shows_enough() -> None:
    # The two objects of a frame have 6 pixels each; the VOID row does not count.
    attempt = Attempt((1, 2, 7, 8), (7, 7))
    assert chosen((7, 8), attempt) == [7, 7, 7]
    assert chosen((7, 8), attempt, foreground=11) == [7, 7, 7]
    assert chosen((2, 7), attempt, foreground=11) == [2, 7, 7]


def test_the_last_reference_if_none_shows_enough() -> None:
    assert chosen((7, 8), Attempt((1, 7, 8), (8, 8)), foreground=12) == [8, 8, 8]


def test_the_first_draw_whose_reference_shows_every_object() -> None:
    # Frames show different objects, so that only equal ones go together; frame 0 shows none.
    attempts = [Attempt((3,), (3, 4)), Attempt((4,), (0, 4)), Attempt((5,), (5, 5))]
    assert chosen(range(1, 12), *attempts) == [4, 0, 4]
    assert chosen(range(1, 12), *attempts[::2]) == [5, 5, 5]
    assert chosen(range(1, 12), attempts[2], attempts[0]) == [5, 5, 5]


def test_the_last_draw_if_none_fits() -> None:
    assert chosen(range(12), Attempt((3,), (3, 4)), Attempt((6,), (7, 8))) == [6, 7, 8]
    sample = Flickers(12, range(12))[ClipRequest(0, (0, 0), 5, 2, (Attempt((6,), (7,)),))]
    assert sample.meta.ids == (7, 9)
    assert sample.labels[:, :, 0].tolist() == [[1, 2, 255, 0], [0, 2, 255, 0]]


def test_masks_that_were_looked_at_are_not_read_again(monkeypatch) -> None:
    looked = []
    plain = Flicker.id_map
    monkeypatch.setattr(Flicker, "id_map", lambda self, t: (looked.append(t), plain(self, t))[1])
    chosen(range(12), Attempt((3,), (3, 4)), Attempt((5,), (5, 5, 5)))
    assert sorted(looked) == [3, 4, 5]
