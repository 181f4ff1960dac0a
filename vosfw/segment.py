"""From a video and some masks to a folder of masks and an overlay video."""

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor
from tqdm import tqdm

from vosfw.data.files import cannot_write
from vosfw.data.index import frame_files, mask_pictures
from vosfw.data.io import VideoFile, read_frame, read_mask, write_mask, write_video
from vosfw.data.overlay import overlay as draw_overlay
from vosfw.data.prefetch import prefetch
from vosfw.errors import DatasetError
from vosfw.interfaces import Segmenter
from vosfw.job import Job, describe
from vosfw.prediction import Prediction, as_id_map
from vosfw.predictor import Predictor
from vosfw.two_way import TwoWay

__all__ = ["Segmentation", "segment_video"]

BLOCK = 32
"""Frames of a video file that are decoded at once when it is read backwards."""


@dataclass(frozen=True)
class Segmentation:
    """What ``segment_video`` did."""

    out: Path
    """Folder of the masks, one palette PNG per frame."""
    overlay: Path | None
    frames: int
    """Frames that got a mask; those before the first given mask get none."""
    skipped: int
    ids: tuple[int, ...]
    seconds: float
    """Of reading, segmenting and writing."""

    @property
    def fps(self) -> float:
        """Frames per second, reading and writing included."""
        return self.frames / max(self.seconds, 1e-9)


class Frames:
    """The frames of a video file or of a folder of pictures."""

    def __init__(self, source: Path) -> None:
        self.file: VideoFile | None = None
        if source.is_dir():
            self.paths = frame_files(source)
            self.names = [path.stem for path in self.paths]
        else:
            self.file = VideoFile(source)
            self.names = [f"{i:05d}" for i in range(len(self.file))]
        self._block: dict[int, Tensor] = {}
        self._last = -1
        self.fps = self.file.fps if self.file is not None else 25.0

    def __call__(self, index: int) -> Tensor:
        if self.file is None:
            return read_frame(self.paths[index])
        if index < self._last and index not in self._block:
            # A video file can only be decoded forwards, so going back is done in blocks.
            self._block = {t: self.file[t] for t in range(max(0, index - BLOCK + 1), index + 1)}
        self._last = index
        return self._block[index] if index in self._block else self.file[index]

    def find(self, frame: int | str) -> int:
        """Index of a frame by number or name."""
        if isinstance(frame, str) and frame in self.names:
            return self.names.index(frame)
        index = int(frame) if str(frame).isdigit() else -1
        if not 0 <= index < len(self.names):
            raise DatasetError(
                f"a mask is given for frame {frame!r}, but the frames go from 0 ({self.names[0]}) to "
                f"{len(self.names) - 1} ({self.names[-1]}). Give a frame number, or a frame's name."
            )
        return index


def segment_video(
    model: Segmenter[Any],
    video: str | Path,
    masks: Mapping[int | str, Any] | Mapping[int, Any] | Mapping[str, Any] | str | Path,
    out: str | Path,
    *,
    overlay: str | Path | None = None,
    short_side: int | None = None,
    device: str | torch.device | None = None,
    both: bool = False,
    resume: bool = False,
    resize_masks: bool = False,
    absent: Mapping[int, Collection[int]] | None = None,
    watch: Callable[[str, Prediction], None] | None = None,
    progress: bool = False,
) -> Segmentation:
    """Segment a whole video. All masks are checked before work starts; every written mask is complete.

    Args:
        model: A network, such as ``vosfw.load`` returns.
        video: A video file, or a folder of frames in the order of their names.
        masks: For each frame number or name that comes with masks, a PNG or an id map [Y, X]; or one PNG, for frame 0;
            or a folder of PNGs named like their frames. Objects may join later, and known ones be corrected.
        out: Folder for the masks, ``<frame>.png``.
        overlay: Video file with the masks drawn over the frames.
        short_side: Length of the shorter side of the network's input; None keeps the engine's setting.
        device: Where to compute; None takes the GPU if there is one.
        both: Propagate backwards in time too; ``vosfw.two_way.TwoWay`` tells how the runs are merged.
        resume: Go on where an interrupted run into the same folder was; the result is the same as in one go.
        resize_masks: Resize masks of another size than the video, by nearest neighbour, instead of refusing them.
        absent: Ids of objects that are out of view in a frame, by its number; a mask without them says nothing of them.
        watch: Called with the name of each frame and its prediction as the work goes on, in the order of the work; with
            ``both``, before the two runs are merged.
        progress: Show a progress bar with frames per second.

    Raises:
        DatasetError: If a frame or mask is missing, damaged, empty or of the wrong size.
        OutputError: If a result cannot be written.
        ConfigError: If ``resume`` is asked for in a folder that holds another job.
    """
    frames, out = Frames(Path(video)), Path(out)
    first = frames(0)
    given = read_masks(frames, masks, (first.shape[1], first.shape[2]), resize=resize_masks)
    _require_space(out)
    start, count = time.perf_counter(), len(frames.names)

    def predictor() -> Predictor:
        return Predictor(model, device=device, short_side=short_side)

    about = describe(frames=count, given=given, absent=absent or {}, model=model, engine=predictor().engine, both=both)
    job = Job(out, about, resume=resume)
    two_way = TwoWay(job.folder / "backward", list(given)) if both else None
    forward = range(0, count)
    backward = range(max(given), -1, -1) if both else range(0)

    def write(t: int, labels: Integer[np.ndarray, "Y X"]) -> None:
        write_mask(out / f"{frames.names[t]}.png", torch.from_numpy(labels))

    def take_backward(t: int, prediction: Prediction) -> None:
        if two_way is not None and two_way.needs_both(t):
            two_way.keep(t, prediction.ids, prediction.scores)
        elif t < min(given):
            write(t, prediction.labels)

    def take_forward(t: int, prediction: Prediction) -> None:
        if two_way is not None and two_way.needs_both(t):
            write(t, two_way.merge(t, prediction.ids, prediction.scores))
        else:
            write(t, prediction.labels)

    def watched(take: Callable[[int, Prediction], None], t: int, prediction: Prediction) -> None:
        take(t, prediction)
        if watch is not None:
            watch(frames.names[t], prediction)

    ids: set[int] = set()
    with tqdm(total=len(backward) + count, unit="frame", disable=not progress, desc="segment") as bar:
        for name, order, take in (("backward", backward, take_backward), ("forward", forward, take_forward)):
            if order:
                ids |= job.propagate(name, predictor, frames, order, given, absent or {}, partial(watched, take), bar)
    if overlay is not None:
        _draw(frames, out, Path(overlay), (first.shape[1], first.shape[2]), progress=progress)
    job.finish()
    skipped = 0 if both else min(given)
    return Segmentation(
        out,
        None if overlay is None else Path(overlay),
        count - skipped,
        skipped,
        tuple(sorted(ids)),
        time.perf_counter() - start,
    )


def _draw(frames: Frames, out: Path, path: Path, size: tuple[int, int], *, progress: bool) -> None:
    """A video of the frames with the written masks over them."""
    with write_video(path, frames.fps, size) as film:
        order = range(len(frames.names))
        for t, frame in tqdm(
            enumerate(prefetch(frames, order)), "overlay", len(order), unit="frame", disable=not progress
        ):
            mask = out / f"{frames.names[t]}.png"
            film.add(draw_overlay(frame, read_mask(mask)) if mask.is_file() else frame)


def read_masks(
    frames: Frames, masks: Any, size: tuple[int, int], *, resize: bool
) -> dict[int, Integer[np.ndarray, "Y X"]]:
    """Every given mask by frame number, checked."""
    if isinstance(masks, str | Path):
        masks = dict(_mask_files(frames, Path(masks)))
    found: dict[int, Integer[np.ndarray, "Y X"]] = {}
    for frame, mask in masks.items():
        is_file = isinstance(mask, str | Path)
        ids = read_mask(Path(mask), size, resize=resize).numpy() if is_file else as_id_map(mask)
        where = f"'{mask}'" if is_file else f"of frame {frame}"
        if ids.shape != size:
            raise DatasetError(f"the mask {where} is {ids.shape[0]}x{ids.shape[1]}, the frames {size[0]}x{size[1]}")
        if not np.isin(ids, (0, 255), invert=True).any():
            raise DatasetError(
                f"the mask {where} holds no object: every pixel is background. Draw at least one object."
            )
        found[frames.find(frame)] = ids
    if not found:
        raise DatasetError("no mask is given. Give at least one, for any frame.")
    return found


def _mask_files(frames: Frames, source: Path) -> Iterator[tuple[int | str, Path]]:
    if not source.is_dir():
        yield 0, source
        return
    files = mask_pictures(source)
    if not files:
        raise DatasetError(f"no masks (.png) in {source}. Name each like its frame, such as {frames.names[0]}.png.")
    yield from ((path.stem, path) for path in files)


def _require_space(out: Path) -> None:
    """Refuse a folder that cannot be written before work starts."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".vosfw-probe"
        probe.touch()
        probe.unlink()
        if shutil.disk_usage(out).free == 0:
            raise OSError("no space left")
    except OSError as error:
        raise cannot_write(out, error) from error
