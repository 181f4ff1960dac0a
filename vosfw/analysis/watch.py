"""Looking at a network's parts while it segments a video."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vosfw.data.overlay import overlay
from vosfw.engine.augment import Augment
from vosfw.engine.engine import Engine, VideoSource
from vosfw.errors import ConfigError
from vosfw.interfaces import Segmenter
from vosfw.types import Step


@contextmanager
def watching(*handles: RemovableHandle) -> Iterator[None]:
    """Hooks that are taken away at the end, whatever happens."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def labelled_steps(
    network: Segmenter[Any],
    video: VideoSource,
    engine: Engine | None,
    frames: Collection[int],
    device: torch.device | str,
) -> Iterator[tuple[Step, UInt8[Tensor, "Y X"]]]:
    """Steps and published labels of some frames. What hooks saw last is of the frame just yielded.

    Args:
        network: To be run.
        video: Run up to the last of the frames.
        engine: None takes the one that came with the network. Test-time augmentation is left out.
        frames: Indices; those for which the engine has no step are missing.
        device: Where to compute.
    """
    engine = (engine or network.default_engine or Engine()).replace(augment=Augment())
    geometry = engine.geometry(video.size, network.grid)
    for step in engine.run(network, video, device):
        if step.frame > max(frames, default=-1):
            return
        if step.frame in frames:
            yield step, engine.labels(step, geometry)[0]


def require_some(results: list[Any], who: str, frames: Collection[int], wanted: str = "predicted") -> None:
    """Refuse an empty list.

    Raises:
        ConfigError: If it is empty.
    """
    if not results:
        raise ConfigError(f"{who}: none of the frames {sorted(frames)} is {wanted}; wanted one or more")


def first_part(network: nn.Module, wanted: Callable[[nn.Module], bool]) -> nn.Module | None:
    """The outermost part for which ``wanted`` is true."""
    return next((module for module in network.modules() if wanted(module)), None)


def own_mask(video: VideoSource, frame: int, labels: UInt8[Tensor, "Y X"], label: int) -> UInt8[Tensor, "3 Y X"]:
    """A frame under the mask of one object; plain for the background (0)."""
    return overlay(video.frame(frame), torch.where(labels == label, label, 0).cpu())
