"""A long segmentation that survives being stopped."""

import json
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

from vosfw.data.files import replacing
from vosfw.data.prefetch import prefetch
from vosfw.engine.engine import Engine
from vosfw.errors import CheckpointError
from vosfw.interfaces import Segmenter
from vosfw.prediction import Prediction
from vosfw.predictor import Predictor
from vosfw.session import as_plain
from vosfw.unfinished import Unfinished

SAVE_EVERY = 60.0
"""Seconds between savings of the session."""


class Job(Unfinished):
    """A segmentation; its predictors are saved as they go on."""

    def propagate(
        self,
        name: str,
        make: Callable[[], Predictor],
        read: Callable[[int], Tensor],
        order: Sequence[int],
        given: Mapping[int, Integer[np.ndarray, "Y X"]],
        absent: Mapping[int, Collection[int]],
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
            absent: Ids of objects that are not in view, by frame.
            take: Called with every frame and its prediction; may be called again for frames seen before a stop.
            bar: Progress bar.
        """
        session, ended = self.folder / f"{name}.session", self.folder / f"{name}.json"
        if ended.is_file():
            bar.update(len(order))
            return set(json.loads(ended.read_text()))
        predictor = self._resumed(session, make()) if session.is_file() else make()
        start = predictor.frames
        bar.update(start)
        saved = time.monotonic()
        for place, frame in enumerate(prefetch(read, order[start:]), start):
            if order[place] in given:
                predictor.add_object(given[order[place]])
            for id_ in set(absent.get(order[place], ())) & set(predictor.ids):
                predictor.add_object(np.zeros(frame.shape[1:], np.bool_), id=id_)
            for prediction in predictor.step(frame):
                take(order[prediction.index], prediction)
            bar.update()
            if time.monotonic() - saved >= SAVE_EVERY:
                predictor.save(session, weights=False)
                saved = time.monotonic()
        for prediction in predictor.flush():
            take(order[prediction.index], prediction)
        with replacing(ended) as draft:
            draft.write_text(json.dumps(predictor.ids))
        session.unlink(missing_ok=True)
        return set(predictor.ids)

    def _resumed(self, session: Path, fresh: Predictor) -> Predictor:
        try:
            return Predictor.load(session, fresh.model, fresh.device)
        except CheckpointError:
            return fresh


def describe(
    *,
    frames: int,
    given: Mapping[int, Integer[np.ndarray, "Y X"]],
    absent: Mapping[int, Collection[int]],
    model: Segmenter[Any],
    engine: Engine,
    both: bool,
) -> dict[str, str]:
    """What makes two segmentations the same."""
    masks = {t: zlib.crc32(np.ascontiguousarray(ids, np.int32).tobytes()) for t, ids in sorted(given.items())}
    return {
        "frames": str(frames),
        "masks": str(masks),
        "absent": str({t: sorted(ids) for t, ids in sorted(absent.items())}),
        "weights": str(checksum(model)),
        "engine": json.dumps(as_plain(engine), sort_keys=True),
        "both": str(both),
    }


@torch.no_grad()
def checksum(model: Segmenter[Any]) -> int:
    """Of all weights."""
    total = 0
    for value in model.state_dict().values():
        total = zlib.crc32(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(), total)
    return total
