import pytest

from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import ConfigError


def kept(policy, frames, given):
    last, result = 0, []
    for t in range(frames):
        if policy.keeps(t, since_keep=t - last, clip_length=4, given=t in given, introduces=t in given):
            result.append(t)
            last = t
    return result


def test_both_anchors_agree_when_nothing_joins_later():
    for anchor in ("last_kept", "start"):
        assert kept(IntervalPolicy(5, anchor), 12, {0}) == [0, 5, 10]


def test_anchors_differ_after_a_late_object():
    assert kept(IntervalPolicy(5, "last_kept"), 12, {0, 4}) == [0, 4, 9]
    assert kept(IntervalPolicy(5, "start"), 12, {0, 4}) == [0, 4, 5, 10]


def test_without_interval_only_given_frames_are_kept():
    assert kept(IntervalPolicy(None), 12, {0, 4}) == [0, 4]
    assert kept(IntervalPolicy(None, given="none"), 12, {0, 4}) == []


def test_given_frames_may_wait_for_their_turn():
    assert kept(IntervalPolicy(5, "start", given="scheduled"), 12, {0, 4, 10}) == [0, 5, 10]
    assert kept(IntervalPolicy(5, given="scheduled"), 12, {0, 4}) == [0, 5, 10]
    assert kept(IntervalPolicy(None, given="scheduled"), 12, {0, 4}) == [0]


def test_a_given_frame_that_introduces_nothing():
    call = {"since_keep": 3, "clip_length": 1, "given": True, "introduces": False}
    assert not IntervalPolicy(None, given="introducing").keeps(3, **call)
    assert IntervalPolicy(None, given="all").keeps(3, **call)


@pytest.mark.parametrize("options", [{"every": 0}, {"anchor": "middle"}, {"given": "some"}])
def test_bad_options_are_refused(options):
    with pytest.raises(ConfigError, match=r"engine\.policy"):
        IntervalPolicy(**options)


def test_the_interval_may_be_the_clip_length():
    assert kept(IntervalPolicy("clip"), 12, {0, 5}) == [0, 4, 5, 9]
