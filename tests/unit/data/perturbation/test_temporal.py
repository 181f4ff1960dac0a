import numpy as np
import pytest
import torch
from plain_videos import PlainVideo

from vosfw.data.perturbation.temporal import FrameDrop, FrameRate, Freeze


def test_frame_rate_counts_from_the_first_given_frame():
    video = PlainVideo(0, 9)
    assert FrameRate(3).sources(video) == [0, 0, 0, 3, 3, 3, 6, 6, 6]
    video.annotated = (2,)
    del video.introduced
    assert FrameRate(3).sources(video) == [0, 0, 2, 2, 2, 5, 5, 5, 8]


def test_a_late_given_frame_comes():
    """Its mask belongs to its picture."""
    video = PlainVideo(0, 9)
    video.introduced = {1: 0, 2: 4}
    assert FrameRate(9).sources(video) == [0, 0, 0, 0, 4, 4, 4, 4, 4]
    assert FrameDrop(1.0).sources(video) == [0, 0, 0, 0, 4, 4, 4, 4, 4]


def test_the_frame_seen_is_old_and_the_truth_is_not():
    video = FrameRate(3).apply(PlainVideo(0, 9))
    assert torch.equal(video.frame(5), PlainVideo(0, 9).frame(3))
    assert torch.equal(video.truth(5), PlainVideo(0, 9).truth(5))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_share_of_dropped_frames(share):
    sources = np.array(FrameDrop(share).sources(PlainVideo(0, 2000)))
    assert (sources != np.arange(2000)).mean() == pytest.approx(share, abs=0.04)


def test_more_frames_are_lost_at_higher_severity():
    lost = [
        {t for t, s in enumerate(FrameDrop([0.2, 0.5], severity).sources(PlainVideo(0, 200))) if s != t}
        for severity in (1, 2)
    ]
    assert lost[0] < lost[1]


@pytest.mark.parametrize("length", [2, 8, 20])
def test_standstills(length):
    sources = np.array(Freeze(length, share=0.4).sources(PlainVideo(0, 4000)))
    frozen = sources != np.arange(4000)
    assert frozen.mean() == pytest.approx(0.4, abs=0.05)
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], frozen, [0]])) != 0))[::2]
    assert set(runs[:-1]) == {length}


def test_sources_never_run_ahead():
    for kind in (FrameDrop(0.5), Freeze(4), FrameRate(4)):
        sources = np.array(kind.sources(PlainVideo(0, 7)))
        assert (sources <= np.arange(7)).all() and (np.diff(sources) >= 0).all()
