"""A long segmentation that survives being stopped."""

import json
import shutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

from vosfw.data.files import replacing
from vosfw.data.prefetch import prefetch
from vosfw.engine.engine import Engine
from vosfw.errors import CheckpointError, ConfigError
from vosfw.interfaces import Segmenter
from vosfw.predictor import Prediction, Predictor
from vosfw.session import as_plain

SAVE_EVERY = 60.0
"""Seconds between savings of the session."""


class Job:
    """Keeps in a hidden folder beside the results what is needed to go on after a stop, and removes it at the end.

    Args:
        out: Folder of the results.
        resume: Go on with what is there; otherwise it is thrown away.
    """

    def __init__(self, out: Path, *, resume: bool) -> None:
        self.folder = out / ".vosfw"
        self.resume = resume

    def claim(
        self,
        *,
        frames: int,
        given: Mapping[int, Integer[np.ndarray, "Y X"]],
        model: Segmenter[Any],
        engine: Engine,
        both: bool,
    ) -> None:
        """Note what the job is, or find out whether it is the one to go on with.

        Raises:
            ConfigError: If the folder holds another job.
        """
        masks = {t: zlib.crc32(np.ascontiguousarray(ids, np.int32).tobytes()) for t, ids in sorted(given.items())}
        about = {
            "frames": frames,
            "masks": str(masks),
            "weights": checksum(model),
            "engine": json.dumps(as_plain(engine), sort_keys=True),
            "both": both,
        }
        note = self.folder / "job.json"
        if self.resume and note.is_file():
            found = json.loads(note.read_text())
            if other := [name for name in about if found.get(name) != about[name]]:
                raise ConfigError(
                    f"'{self.folder.parent}' holds an unfinished run with other {', '.join(other)}. Repeat that run's "
                    "options to resume it, or leave resume out to start anew."
                )
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        with replacing(note) as draft:
            draft.write_text(json.dumps(about))

    def propagate(
        self,
        name: str,
        make: Callable[[], Predictor],
        read: Callable[[int], Tensor],
        order: Sequence[int],
        given: Mapping[int, Integer[np.ndarray, "Y X"]],
        take: Callable[[int, Prediction], None],
        bar: Any,
    ) -> set[int]:
        """Run a predictor over frames in some order; returns the ids of the objects.

        Args:
            name: Of the run, among those of the job.
            make: Makes a new predictor.
            read: Reads a frame.
            order: Frames, in the order in which they are seen.
            given: Masks by frame.
            take: Called with every frame and its prediction; may be called again for frames seen before a stop.
            bar: Progress bar.
        """
        session = self.folder / f"{name}.session"
        predictor = self._resumed(session, make()) if session.is_file() else make()
        start = predictor.frames
        bar.update(start)
        saved = time.monotonic()
        for place, frame in enumerate(prefetch(read, order[start:]), start):
            if order[place] in given:
                predictor.add_object(given[order[place]])
            for prediction in predictor.step(frame):
                take(order[prediction.index], prediction)
            bar.update()
            if time.monotonic() - saved >= SAVE_EVERY:
                predictor.save(session, weights=False)
                saved = time.monotonic()
        for prediction in predictor.flush():
            take(order[prediction.index], prediction)
        predictor.save(session, weights=False)
        return set(predictor.ids)

    def finish(self) -> None:
        """Remove what was only needed to go on."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _resumed(self, session: Path, fresh: Predictor) -> Predictor:
        try:
            return Predictor.load(session, fresh.model, fresh.device)
        except CheckpointError:
            return fresh


@torch.no_grad()
def checksum(model: Segmenter[Any]) -> int:
    """Of all weights."""
    total = 0
    for value in model.state_dict().values():
        total = zlib.crc32(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(), total)
    return total
