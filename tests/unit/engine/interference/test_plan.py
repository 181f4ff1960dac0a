import pytest
from doubles import ClipDouble, PoolDouble
from modules import MemoryVideo

from vosfw.engine.engine import Engine
from vosfw.engine.interference import NoInterference, Scene
from vosfw.engine.interference.plan import remembered_frames
from vosfw.engine.policy import IntervalPolicy


class Log(NoInterference):
    def __init__(self):
        self.frames = []

    def __call__(self, t, masks):
        self.frames.append(t)
        return masks


@pytest.mark.parametrize("recent", [False, True])
@pytest.mark.parametrize("every", [None, 1, 3])
@pytest.mark.parametrize("unwanted", [False, True])
@pytest.mark.parametrize("length", [1, 2])
def test_the_plan_is_what_happens(recent, every, unwanted, length):
    video = MemoryVideo(frames=11, objects=2, wanted=[t not in (3, 4, 7) for t in range(11)])
    video.__dict__["introduced"] = {3: 1, 6: 5}
    policy = IntervalPolicy(every=every, recent=recent, process_unwanted=unwanted)
    for model in (ClipDouble(), *([PoolDouble()] if length == 1 else [])):
        log = Log()
        engine = Engine(policy=policy, interference=log, clip_length=length, short_side=16)
        list(engine.run(model, video, "cpu"))
        scene = Scene(engine, model, video, "cpu")
        assert remembered_frames(scene) == tuple(log.frames)


def test_no_frame_is_read():
    video = MemoryVideo(frames=6, broken=2)
    assert remembered_frames(Scene(Engine(policy=IntervalPolicy(every=2)), ClipDouble(), video, "cpu")) == (2, 4)
    assert not video.read_in
