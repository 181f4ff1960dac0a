import threading

import pytest
import torch
from modules import MemoryVideo

from vosfw.data.prefetch import ReadAhead


def test_frames_are_read_ahead_by_a_thread_in_order():
    video = MemoryVideo()
    source = ReadAhead(video)
    frames = [source.frame(t) for t in range(6)]
    source.close()
    assert torch.equal(torch.stack(frames), video.images)
    assert threading.main_thread() not in video.read_in


def test_a_frame_that_was_passed_over_is_not_read_again():
    source = ReadAhead(MemoryVideo())
    source.frame(3)
    with pytest.raises(IndexError, match="passed over"):
        source.frame(1)
    source.close()
