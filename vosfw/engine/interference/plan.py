"""What an interference can know of a video before a frame of it is read."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vosfw.engine.interference import NoInterference, Scene
from vosfw.engine.source import LabelledVideo, VideoSource, whole
from vosfw.errors import ConfigError, DatasetError
from vosfw.interfaces import Grid, Segmenter
from vosfw.types import Features, ObjectMasks


def no_streaming(name: str, need: str) -> ConfigError:
    """The error for sessions whose frames are not known beforehand."""
    return ConfigError(
        f"engine.interference: {name} needs {need} before the first frame is segmented, so it works in evaluation and "
        "not in streaming or training. Run evaluate.py, or set engine/interference=none."
    )


def labelled(scene: Scene, name: str) -> LabelledVideo:
    """The video with its true masks.

    Raises:
        ConfigError: If it knows none, or the engine has slots of which the video does not know.
    """
    video = whole(scene.video)
    if scene.engine.ghost_slots:
        raise ConfigError(
            f"engine.interference: {name} does not go with engine.ghost_slots=true, whose empty objects have no masks. "
            "Set engine.ghost_slots=false."
        )
    if not isinstance(video, LabelledVideo):
        raise ConfigError(
            f"engine.interference: {name} needs a video with name, annotated and truth (vosfw.data.video.Video); got "
            f"a {type(video).__name__}."
        )
    return video


def without_truth(video: LabelledVideo, frames: tuple[int, ...], name: str, advice: str) -> DatasetError:
    """The error for frames that should have had a true mask."""
    some = ", ".join(map(str, frames[:5])) + (" ..." if len(frames) > 5 else "")
    return DatasetError(
        f"engine.interference: {name} needs true masks, and '{video.name}' has none in {len(frames)} frames ({some}). "
        f"Take a data set whose videos are annotated throughout, such as DAVIS{advice}."
    )


def remembered_frames(scene: Scene) -> tuple[int, ...]:
    """Frames whose predicted masks memory gets, by the real loop with a network that does nothing."""
    log = _Log()
    engine = scene.engine.replace(interference=log, corrector=None, reliability=None, augment=None, ghost_slots=False)
    with torch.no_grad():
        for _ in engine.run(_Blank(scene.segmenter.clip_length), _Outline(scene.video), "cpu"):
            pass
    return tuple(log.frames)


class _Log(NoInterference):
    def __init__(self) -> None:
        self.frames: list[int] = []

    def __call__(self, t: int, masks: ObjectMasks) -> ObjectMasks:
        self.frames.append(t)
        return masks


class _Outline:
    """A video with one grey pixel."""

    size = (1, 1)

    def __init__(self, video: VideoSource) -> None:
        self.given, self.wanted, self.length = video.given, video.wanted, len(video)

    def __len__(self) -> int:
        return self.length

    def frame(self, index: int) -> Tensor:
        return torch.zeros(3, 1, 1, dtype=torch.uint8)

    def given_mask(self, index: int) -> Tensor:
        return torch.zeros(1, 1, dtype=torch.uint8)


class _Nothing(NamedTuple):
    valid: Bool[Tensor, "B K"]


class _Blank(Segmenter[_Nothing]):
    """Sees and remembers nothing."""

    grid = Grid(1, "pad")

    def __init__(self, clip_length: int) -> None:
        super().__init__()
        self.clip_length = clip_length

    def encode(self, frames: Float[Tensor, "B T 3 H W"]) -> Features:
        return Features(frames, ())

    def init_state(self, features: Features, masks: ObjectMasks, *, keep: bool = True) -> _Nothing:
        return _Nothing(masks.valid)

    def segment(self, features: Features, state: _Nothing) -> tuple[Float[Tensor, "B T O y x"], _Nothing]:
        batch, slots = state.valid.shape
        return torch.zeros(batch, features.frames.shape[1], slots + 1, 1, 1), state

    def memorize(self, features: Features, masks: ObjectMasks, state: _Nothing, *, keep: bool) -> _Nothing:
        return _Nothing(masks.valid)


def loaded(source: Segmenter[Any] | str | None, name: str, device: torch.device | str | None = None) -> Segmenter[Any]:
    """The other network, ready to use.

    Raises:
        ConfigError: If it is still a name or a path, or None.
    """
    if not isinstance(source, Segmenter):
        raise ConfigError(
            f"engine.interference.source is {source!r}; {name} wants a network. evaluate.py loads names and paths; "
            "elsewhere pass vosfw.load(...)."
        )
    return source.eval() if device is None else source.to(device).eval()
