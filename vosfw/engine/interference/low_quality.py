"""Masks of a weaker network."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vosfw.engine.interference import Damage, Scene
from vosfw.engine.interference.plan import labelled, loaded, no_streaming, remembered_frames
from vosfw.engine.source import LabelledVideo
from vosfw.interfaces import Segmenter
from vosfw.types import ObjectMasks


class LowQuality:
    """Memory gets what another network predicts on the same video (Li et al., IJCV 2022, "low quality").

    The other network runs by itself first, with its own memory. Its soft masks of the frames that are remembered here
    are kept in main memory, at the size of this network's masks.

    Args:
        source: The other network; in a configuration what ``vosfw.load`` takes, such as a checkpoint's path.
        options: Engine options for it that differ from those it came with (without any: from this network's).
    """

    def __init__(self, source: Segmenter[Any] | str, options: Mapping[str, Any] | None = None) -> None:
        self.source: Segmenter[Any] | str | None = source
        self.options = dict(options or {})

    def check(self, scene: Scene) -> None:
        """See ``Interference.check``.

        Raises:
            ConfigError: If the other network is not loaded or its options are wrong.
        """
        labelled(scene, "low_quality")
        other = loaded(self.source, "low_quality")
        (other.default_engine or scene.engine).replace(**self.options).geometry(scene.video.size, other.grid)

    def start(self, scene: Scene | None) -> Damage:
        """See ``Interference.start``: runs the other network over the whole video."""
        if scene is None:
            raise no_streaming("low_quality", "all frames")
        self.check(scene)
        other = loaded(self.source, "low_quality", scene.device)
        engine = (other.default_engine or scene.engine).replace(
            **{"interference": None, "corrector": None} | self.options
        )
        there, here = (
            one.geometry(scene.video.size, one.augment(network).grid)
            for one, network in ((engine, other), (scene.engine, scene.segmenter))
        )
        wanted, found = set(remembered_frames(scene)), dict[int, Tensor]()
        with torch.no_grad():
            for step in engine.run(other, _Wanting(labelled(scene, "low_quality"), wanted), scene.device):
                if step.frame in wanted:
                    probs = engine.publish(step, there)
                    placed = here.place_probs(probs) if scene.engine.mask_size == "input" else probs
                    found[step.frame] = placed.cpu()

        def damage(t: int, masks: ObjectMasks) -> ObjectMasks:
            # Either network may have seats for objects that have not joined yet.
            probs = found.pop(t).to(masks.probs)
            missing = masks.probs.shape[1] - probs.shape[1]
            return masks._replace(probs=F.pad(probs, (0, 0, 0, 0, 0, missing)))

        return damage


class _Wanting:
    """A video in which further frames are to be predicted."""

    def __init__(self, video: LabelledVideo, frames: set[int]) -> None:
        self.video, self.size, self.given = video, video.size, video.given
        self.wanted = tuple(wanted or t in frames for t, wanted in enumerate(video.wanted))
        self.frame, self.given_mask, self.ids = video.frame, video.given_mask, getattr(video, "ids", ())

    def __len__(self) -> int:
        return len(self.video)
