"""A video that is being annotated."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vosfw.annotate.folder import WorkFolder
from vosfw.annotate.masks import Masks
from vosfw.annotate.refused import Refused
from vosfw.annotate.run import Run
from vosfw.annotate.video import ShownVideo
from vosfw.errors import ConfigError
from vosfw.interfaces import Segmenter
from vosfw.prediction import Prediction
from vosfw.segment import read_masks, segment_video
from vosfw.types import MAX_SLOTS, VOID


@dataclass(frozen=True)
class Options:
    """How to propagate."""

    model: Segmenter[Any]
    short_side: int | None = None
    device: str | None = None


class Session:
    """A video, its masks, and what propagates them; all methods may be called from several threads.

    Args:
        video: What is annotated.
        folder: Where everything is kept; what is there is gone on with.
        options: How to propagate.

    Raises:
        ConfigError: If the folder holds masks of another video of that name.
    """

    def __init__(self, video: ShownVideo, folder: WorkFolder, options: Options) -> None:
        self.video, self.folder, self.options = video, folder, options
        self.masks = Masks(folder, video.names, video.size)
        about = {"frames": len(video), "size": list(video.size), "checksum": video.checksum}
        if self.masks.about not in (None, about):
            raise ConfigError(
                f"'{folder.out}' holds masks of another video called '{folder.name}'. Name another --out."
            )
        self.masks.about = about
        self.masks.keep()
        self._run: Run | None = None

    def load_masks(self, masks: Path) -> None:
        """Take masks from files, as ``vosfw segment --masks`` does, for frames that have none yet.

        Raises:
            DatasetError: If a mask does not fit.
            ConfigError: If the page cannot show an id.
        """
        found = read_masks(self.video.frames, masks, self.video.size, resize=False)
        for t, ids in found.items():
            if ids.max() > VOID:
                name = self.video.names[t]
                raise ConfigError(f"the mask of frame {name} has id {ids.max()}; the page shows 1 to {MAX_SLOTS}")
        for t, ids in found.items():
            if t not in self.masks.given:
                self.masks.put(t, ids.astype(np.uint8))
        self.masks.forget_past()

    @property
    def running(self) -> bool:
        """Whether masks are being propagated."""
        return self._run is not None and self._run.running

    def propagate(self, *, both: bool) -> None:
        """Start to propagate the drawn masks, as ``vosfw segment`` does.

        Args:
            both: In both directions in time.

        Raises:
            Refused: If that goes on already, or nothing was drawn.
        """
        with self.masks.lock:
            if self.running:
                raise Refused("the masks are being propagated already; wait for the end, or stop it")
            drawn = sorted(t for t, given in self.masks.given.items() if given.ids)
            if not drawn:
                raise Refused("no object is marked yet; mark at least one, in any frame")
            masks = {t: self.masks.read(self.folder.given, t) for t in drawn}
            erased = {t: set(given.erased) for t, given in self.masks.given.items() if given.erased}
            # Results that segment_video hands to watch: each frame from the first mask on, and the way back to frame 0.
            total = len(self.video) - drawn[0] + (drawn[-1] + 1 if both else 0)
            self.masks.saved = False
            self._run = Run(total, partial(self._work, masks, erased, self.masks.changes, both))

    def stop(self, wait: float | int = 0) -> None:
        """End a propagation after the frame that it is at; what it wrote stays.

        Args:
            wait: Seconds to wait for that.
        """
        if self._run is not None:
            self._run.stop(wait)

    def save(self) -> int:
        """Write all masks into the data set of the folder, with the video; returns how many masks.

        Raises:
            Refused: If masks are being propagated, or there is none.
        """
        with self.masks.lock:
            if self.running:
                raise Refused("the masks are being propagated; wait for the end or stop it, then save")
            if not (self.masks.given or self.masks.results):
                raise Refused("there is no mask to save; mark an object first")
            self.folder.take_pictures(self.video.source, self.video.paths)
            return self.masks.save()

    def about(self) -> dict[str, Any]:
        """What does not change: the video."""
        height, width = self.video.size
        names, fps = self.video.names, self.video.fps
        out = str(self.folder.out)
        return {"name": self.folder.name, "names": names, "width": width, "height": height, "fps": fps, "out": out}

    def state(self) -> dict[str, Any]:
        """What the page has to know to say what can be done next."""
        masks = self.masks
        with masks.lock:
            return {
                "given": sorted(masks.given),
                "results": sorted(masks.results),
                "ids": sorted(set().union(*(given.ids for given in masks.given.values()))),
                "undo": masks.steps,
                "pending": masks.pending,
                "saved": masks.saved,
                "version": masks.version,
                "run": None if self._run is None else self._run.progress(),
            }

    def _work(
        self, given: dict[int, Any], erased: dict[int, set[int]], changes: int, both: bool, step: Callable[[], None]
    ) -> None:
        place = {name: t for t, name in enumerate(self.video.names)}

        def watch(name: str, _: Prediction) -> None:
            self.masks.add_result(place[name])
            step()

        segment_video(
            self.options.model,
            self.video.source,
            given,
            self.folder.results,
            short_side=self.options.short_side,
            device=self.options.device,
            both=both,
            absent=erased,
            watch=watch,
        )
        with self.masks.lock:
            self.masks.pending = self.masks.changes != changes
            self.masks.keep()
