"""Frames that do not come: the last one that came is seen in their place.

Every frame is still predicted, and scored with the truth of its own time: what a viewer of a live stream needs. Frames
with given masks always come, and so does the first frame.
"""

from abc import abstractmethod

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from vosfw.data.perturbation.base import Dice, Perturbation, Scale, VideoView
from vosfw.data.video import Video


class TemporalPerturbation(Perturbation):
    """Holds frames back."""

    @abstractmethod
    def comes(self, video: Video, dice: Dice) -> Bool[np.ndarray, " T"]:
        """Whether each frame of a video comes."""

    def apply(self, video: Video) -> Video:
        """A view of the video in which some frames repeat the one before."""
        return _Held(video, self)

    def sources(self, video: Video) -> list[int]:
        """The frame that is seen in place of each one."""
        comes = self.comes(video, self.dice(video, ""))
        comes[[0, *video.given]] = True
        return np.maximum.accumulate(np.where(comes, np.arange(len(video)), 0)).tolist()  # type: ignore[no-any-return]


class _Held(VideoView):
    def __init__(self, video: Video, perturbation: TemporalPerturbation) -> None:
        super().__init__(video)
        self.sources = perturbation.sources(video)

    def frame(self, index: int) -> UInt8[Tensor, "3 Y X"] | Float32[Tensor, "3 Y X"]:
        return self.video.frame(self.sources[index])


class FrameDrop(TemporalPerturbation):
    """Each frame is lost by itself.

    Args:
        share: Probability that a frame is lost, in 0..1.
        severity: See ``Perturbation``.
        seed: See ``Perturbation``.
    """

    def __init__(self, share: Scale, severity: int = 1, *, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.share = float(self.at_severity("share", share, 0, 1))

    def comes(self, video: Video, dice: Dice) -> Bool[np.ndarray, " T"]:
        """A draw per frame, by its name."""
        draws = [dice._replace(frame=name).of_frame().random() for name in video.frames]
        return np.array(draws) >= self.share


class Freeze(TemporalPerturbation):
    """The picture stands still for a while, now and then.

    Args:
        length: Frames that a standstill lasts.
        severity: See ``Perturbation``.
        share: Of all frames, that lie in a standstill on average.
        seed: See ``Perturbation``.
    """

    def __init__(self, length: Scale, severity: int = 1, *, share: float | int = 0.4, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.length = self.whole_at_severity("length", length, 1)
        self.share = float(self.at_severity("share", share, 0, 0.99))

    def comes(self, video: Video, dice: Dice) -> Bool[np.ndarray, " T"]:
        """Standstills and live stretches in turn; the live ones are of random length, two frames or more."""
        draw = dice.of_video()
        comes = np.ones(len(video), dtype=bool)
        live = max(self.length * (1 / self.share - 1), 2) if self.share else len(video)
        place = 1 + int(draw.uniform(0, live))
        while place < len(video):
            comes[place : place + self.length] = False
            place += self.length + max(round(draw.uniform(0.5, 1.5) * live), 2)
        return comes


class FrameRate(TemporalPerturbation):
    """A camera with a lower frame rate: only every n-th frame comes, counted from the first given one.

    Args:
        every: The n.
        severity: See ``Perturbation``.
        seed: Without effect.
    """

    def __init__(self, every: Scale, severity: int = 1, *, seed: int = 0) -> None:
        super().__init__(severity, seed)
        self.every = self.whole_at_severity("every", every, 1)

    def comes(self, video: Video, dice: Dice) -> Bool[np.ndarray, " T"]:
        """Frames at multiples of n from the first given one."""
        first = min(video.given, default=0)
        comes: Bool[np.ndarray, " T"] = (np.arange(len(video)) - first) % self.every == 0
        return comes
