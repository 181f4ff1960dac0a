"""From a video and some masks to a folder of masks and an overlay video."""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor
from tqdm import tqdm

from vosfw.data.files import cannot_write
from vosfw.data.io import FRAME_SUFFIXES, VideoFile, read_frame, read_mask, write_mask, write_video
from vosfw.data.overlay import overlay as draw_overlay
from vosfw.data.prefetch import prefetch
from vosfw.errors import DatasetError
from vosfw.interfaces import Segmenter
from vosfw.predictor import Prediction, Predictor, as_id_map

__all__ = ["Segmentation", "segment_video"]


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


class _Frames:
    """The frames of a video file or of a folder of pictures."""

    def __init__(self, source: Path) -> None:
        self.file: VideoFile | None = None
        if source.is_dir():
            self.paths = sorted(path for path in source.iterdir() if path.suffix.lower() in FRAME_SUFFIXES)
            if not self.paths:
                raise DatasetError(f"no frames (.jpg, .png) in {source}. Give a folder of pictures or a video file.")
            self.names = [path.stem for path in self.paths]
        else:
            self.file = VideoFile(source)
            self.names = [f"{i:05d}" for i in range(len(self.file))]
        self.fps = self.file.fps if self.file is not None else 25.0

    def __call__(self, index: int) -> Tensor:
        return self.file[index] if self.file is not None else read_frame(self.paths[index])

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
        progress: Show a progress bar with frames per second.

    Raises:
        DatasetError: If a frame or mask is missing, damaged, empty or of the wrong size.
        OutputError: If a result cannot be written.
    """
    frames, out = _Frames(Path(video)), Path(out)
    first = frames(0)
    given = _read_masks(frames, masks, (first.shape[1], first.shape[2]))
    _require_space(out)
    predictor = Predictor(model, device=device, short_side=short_side)
    start, count = time.perf_counter(), 0
    waiting: dict[int, Tensor] = {}
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(total=len(frames.names), unit="frame", disable=not progress, desc="segment"))
        film = None
        if overlay is not None:
            film = stack.enter_context(write_video(Path(overlay), frames.fps, (first.shape[1], first.shape[2])))

        def finish(predictions: list[Prediction]) -> None:
            nonlocal count
            for prediction in predictions:
                count += 1
                write_mask(out / f"{frames.names[prediction.index]}.png", torch.from_numpy(prediction.labels))
                if film is not None:
                    film.add(draw_overlay(waiting.pop(prediction.index), prediction.labels))

        for t, frame in enumerate(prefetch(frames, range(len(frames.names)))):
            if t in given:
                predictor.add_object(given[t])
            if film is not None and (waiting or predictor.started or t in given):
                waiting[t] = frame
            elif film is not None:
                film.add(frame)
            finish(predictor.step(frame))
            bar.update()
        finish(predictor.flush())
    return Segmentation(
        out,
        None if overlay is None else Path(overlay),
        count,
        len(frames.names) - count,
        predictor.ids,
        time.perf_counter() - start,
    )


def _read_masks(frames: _Frames, masks: Any, size: tuple[int, int]) -> dict[int, Integer[np.ndarray, "Y X"]]:
    """Every given mask by frame number, checked."""
    if isinstance(masks, str | Path):
        masks = dict(_mask_files(frames, Path(masks)))
    found: dict[int, Integer[np.ndarray, "Y X"]] = {}
    for frame, mask in masks.items():
        is_file = isinstance(mask, str | Path)
        ids = read_mask(Path(mask), size).numpy() if is_file else as_id_map(mask)
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


def _mask_files(frames: _Frames, source: Path) -> Iterator[tuple[int | str, Path]]:
    if not source.is_dir():
        yield 0, source
        return
    files = sorted(source.glob("*.png"))
    if not files:
        raise DatasetError(f"no masks (.png) in {source}. Name each like its frame, such as {frames.names[0]}.png.")
    yield from ((path.stem, path) for path in files)


def _require_space(out: Path) -> None:
    """Refuse a folder that cannot be written before work starts."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".vosfw"
        probe.touch()
        probe.unlink()
        if shutil.disk_usage(out).free == 0:
            raise OSError("no space left")
    except OSError as error:
        raise cannot_write(out, error) from error
