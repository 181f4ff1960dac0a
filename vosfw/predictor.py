"""Streaming: frames in, label maps with the user's ids out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.nn import functional as F

from vosfw.engine.confidence import ExpectedOverlap
from vosfw.engine.engine import Engine
from vosfw.engine.records import GivenMasks
from vosfw.engine.stream import Stream
from vosfw.errors import CheckpointError, ConfigError, DatasetError, UnsupportedError
from vosfw.hub import Checkpoint, build
from vosfw.interfaces import Segmenter
from vosfw.ops.allocator import keep_large_blocks
from vosfw.prediction import Prediction, as_id_map
from vosfw.session import move, read_session, write_session
from vosfw.types import MAX_SLOTS, VOID, Step

__all__ = ["Prediction", "Predictor"]


class Predictor:
    """Segments a video frame by frame with the engine of evaluation.

    Args:
        model: A network, such as ``vosfw.load`` returns.
        device: Where to compute; None takes the GPU if there is one.
        short_side: Length of the shorter side of the network's input; None keeps the engine's setting.
        engine: Engine options; None takes those that came with the model.

    Example:
        >>> predictor = Predictor(model)
        >>> predictor.add_object(mask, id=7)
        >>> for frame in camera:
        ...     for prediction in predictor.step(frame):
        ...         show(prediction.labels)
        >>> rest = predictor.flush()
    """

    def __init__(
        self,
        model: Segmenter[Any],
        device: str | torch.device | None = None,
        short_side: int | None = None,
        engine: Engine | None = None,
    ) -> None:
        keep_large_blocks()
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.to(self.device).eval()
        self.engine: Engine = engine or model.default_engine or Engine()
        if short_side is not None:
            self.engine = self.engine.replace(short_side=short_side)
        self.engine.check(self.model)
        self.reset()

    def reset(self) -> None:
        """Start a new video; all objects are forgotten."""
        self._stream: Stream | None = None
        self._size: tuple[int, int] | None = None
        self._slots: list[int] = []
        self._removed: set[int] = set()
        self._new: dict[int, Shaped[np.ndarray, "Y X"]] = {}

    @property
    def started(self) -> bool:
        """Whether a first mask was given."""
        return bool(self._slots or self._new)

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of the objects that are being followed."""
        return tuple(object_id for object_id in self._slots if object_id not in self._removed)

    def add_object(self, mask: Any, id: int | None = None) -> None:
        """Hand over masks that belong to the next frame; of a known id, it corrects that object.

        Where masks of several calls overlap, the later one wins.

        Args:
            mask: Bool [Y, X] with ``id``, or an integer map of ids (0 background, 255 unlabelled) without. All False
                for the ``id`` of a known object says that it is not in view.
            id: The object's id, from 1.

        Raises:
            DatasetError: If the mask is empty, of the wrong kind, or not of the video's size.
            UnsupportedError: If an id was removed before, or there are too many objects.
        """
        array = np.asarray(mask)
        if id is None:
            id_map = as_id_map(array)
            new = {int(i): id_map == i for i in np.unique(id_map) if i not in (0, 255)}
        else:
            if id < 1:
                raise DatasetError(f"object id {id} is not usable; wanted a whole number from 1")
            if array.ndim != 2:
                raise DatasetError(f"the mask of object {id} has shape {array.shape}; wanted height x width")
            new = {id: array.astype(bool)} if array.any() or id in self.ids else {}
        if not new:
            raise DatasetError(
                "the mask holds no object: every pixel is background. Give a mask with at least one object."
            )
        if self._size is not None and array.shape != self._size:
            raise DatasetError(f"the mask is {_size(array.shape)}, the video's frames are {_size(self._size)}")
        for object_id in new:
            if object_id in self._removed:
                raise UnsupportedError(f"object {object_id} was removed; add it again under another id")
        if len({*self._slots, *self._new, *new}) > MAX_SLOTS:
            raise UnsupportedError(f"more than {MAX_SLOTS} objects in one video")
        for object_id, area in new.items():
            self._new = {known: old & ~area for known, old in self._new.items() if old.shape == area.shape}
            self._new[object_id] = area

    @torch.no_grad()
    def step(self, frame: Any) -> list[Prediction]:
        """Take in the next frame; returns the results that are complete, none before the first mask.

        Per-frame networks return one result at once; per-clip networks none until a clip is full.

        Args:
            frame: RGB, uint8 [Y, X, 3] array or picture, or uint8 [3, Y, X] tensor.

        Raises:
            DatasetError: If the frame is of another kind or size than those before, or than its mask.
        """
        tensor = _as_frame(frame)
        size = (tensor.shape[1], tensor.shape[2])
        if self._size is not None and size != self._size:
            raise DatasetError(f"frame {self.frames} is {_size(size)}, those before were {_size(self._size)}")
        for object_id, area in self._new.items():
            if area.shape != size:
                raise DatasetError(f"the mask of object {object_id} is {_size(area.shape)}, its frame {_size(size)}")
        self._size = size
        if self._stream is None:
            self._stream = self.engine.stream(self.model, size)
        stream, given = self._stream, self._given(size)
        if not stream.needs(given=given is not None, wanted=True):
            stream.skip()
            return []
        placed = stream.place_frames(tensor[None].to(self.device))
        return [self._publish(step) for step in stream.push(placed, given=given)]

    @torch.no_grad()
    def flush(self) -> list[Prediction]:
        """Results of the frames that wait for a full clip; call it at the end of the video."""
        return [] if self._stream is None else [self._publish(step) for step in self._stream.flush()]

    def remove_object(self, id: int) -> None:
        """Stop following an object; frames not returned yet no longer show it. Its id cannot be used again.

        Raises:
            DatasetError: If no such object is being followed.
        """
        if id in self._new and id not in self._slots:
            del self._new[id]
            return
        if id not in self.ids or self._stream is None:
            raise DatasetError(f"no object {id} is being followed; the objects are {list(self.ids)}")
        self._removed.add(id)
        self._new.pop(id, None)
        self._stream.remove(self._slots.index(id))

    def save(self, path: str | Path, *, weights: bool = True) -> None:
        """Write the session, so that ``load`` goes on with the next frame as if there had been no break.

        Args:
            path: File to write; an old one is replaced at once or not at all.
            weights: Store the network too, if ``vosfw.load`` built it; without, ``load`` needs the model.

        Raises:
            OutputError: If the file cannot be written.
        """
        stream, composition = self._stream, getattr(self.model, "composition", None)
        network = {"composition": composition, "weights": self.model.state_dict()} if weights and composition else None
        content: dict[str, Any] = {
            "engine": self.engine,
            "network": network,
            "size": self._size,
            "slots": self._slots,
            "removed": sorted(self._removed),
            "new": {id_: torch.from_numpy(area) for id_, area in self._new.items()},
            "stream": None if stream is None else {name: getattr(stream, name) for name in Stream.REMEMBERED},
        }
        write_session(Path(path), content)

    @classmethod
    def load(
        cls, path: str | Path, model: Segmenter[Any] | None = None, device: str | torch.device | None = None
    ) -> "Predictor":
        """A session that ``save`` wrote.

        Args:
            path: The file.
            model: The network; None takes the one in the file.
            device: Where to compute; None takes the GPU if there is one.

        Raises:
            CheckpointError: If the file cannot be read, or holds no network and none is given.
        """
        content = read_session(Path(path), None if model is None else type(model).__module__.partition(".")[0])
        if model is None:
            if content["network"] is None:
                raise CheckpointError(f"{path} holds no network; give the one it was saved with: load(path, model=...)")
            stored = content["network"]
            model = build(Checkpoint(stored["weights"], **stored["composition"]))
        predictor = cls(model, device, engine=content["engine"])
        predictor._size = content["size"]
        predictor._slots, predictor._removed = list(content["slots"]), set(content["removed"])
        predictor._new = {id_: area.numpy() for id_, area in content["new"].items()}
        if content["stream"] is not None and predictor._size is not None:
            predictor._stream = predictor.engine.stream(model, predictor._size)
            for name, value in content["stream"].items():
                setattr(predictor._stream, name, move(value, predictor.device))
        return predictor

    @property
    def frames(self) -> int:
        """Frames taken in so far."""
        return 0 if self._stream is None else self._stream.next_frame

    def _given(self, size: tuple[int, int]) -> GivenMasks | None:
        new, self._new = self._new, {}
        if not new or self._stream is None:
            return None
        introduces = False
        for object_id in sorted(new):
            if object_id not in self._slots:
                self._slots.append(object_id)
                introduces = True
        labels = np.zeros(size, np.uint8)
        given = torch.zeros(1, len(self._slots), dtype=torch.bool)
        for object_id, area in new.items():
            slot = self._slots.index(object_id)
            labels[area] = slot + 1
            given[0, slot] = True
        return self._stream.hand_over(
            torch.from_numpy(labels)[None].to(self.device),
            given.to(self.device),
            introduces=introduces,
            complete=set(new) >= set(self.ids),
        )

    def _publish(self, step: Step) -> Prediction:
        if self._stream is None:
            raise ConfigError("the session has no frame yet")
        probs = self.engine.publish(step, self._stream.geometry)
        slots = self.engine.label_map(step, probs)[0].cpu().numpy()
        ids = self._slots[: probs.shape[1] - 1]
        table = np.array([0, *ids])
        table = table.astype(np.uint8 if table.max() <= 255 else np.int32)
        given = () if step.given is None else np.unique(step.given[0].cpu().numpy())
        return Prediction(
            step.frame,
            table[slots],
            tuple(ids),
            probs[0],
            self._mass(step, len(ids)),
            frozenset(ids[slot - 1] for slot in given if slot not in (0, VOID)),
            # No network saw a frame that was given whole.
            self.engine.confidence if step.predicted else ExpectedOverlap(),
        )

    def _mass(self, step: Step, objects: int) -> Tensor | None:
        """Affinity mass at the video's own size; 1 for objects that join in this frame."""
        if step.mass is None or self._stream is None:
            return None
        geometry = self._stream.geometry
        mass = F.interpolate(step.mass, geometry.padded, mode="bilinear", align_corners=False)
        mass = self.engine.resize(geometry.crop(mass), geometry.original)[0]
        return F.pad(mass, (0, 0, 0, 0, 0, objects - len(mass)), value=1.0)


def _as_frame(frame: Any) -> Tensor:
    tensor = frame if isinstance(frame, Tensor) else torch.from_numpy(np.array(frame))
    if tensor.ndim == 3 and not isinstance(frame, Tensor):
        tensor = tensor.permute(2, 0, 1)
    if tensor.ndim != 3 or tensor.shape[0] != 3 or tensor.dtype != torch.uint8:
        raise DatasetError(
            f"the frame has shape {tuple(np.shape(frame))} and type {getattr(frame, 'dtype', type(frame).__name__)}; "
            "wanted RGB as a uint8 array [height, width, 3] or tensor [3, height, width]"
        )
    return tensor


def _size(shape: Sequence[int] | Mapping[int, int]) -> str:
    return "x".join(str(side) for side in shape)
