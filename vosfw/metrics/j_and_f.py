"""J and F together: as a function, and as a metric that gathers whole videos over updates and processes."""

import json
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float64, Integer
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vosfw.errors import ConfigError, DatasetError
from vosfw.metrics.boundary import boundary_radius, harmonic
from vosfw.metrics.counts import count
from vosfw.metrics.jaccard import overlap
from vosfw.metrics.result import JAndFResult, ObjectResult, Score, SequenceResult
from vosfw.types import MAX_SLOTS, VOID

Protocol = Literal["davis17", "davis16", "youtube"]


def j_and_f(
    pred: Integer[Tensor, "F Y X"],
    truth: Integer[Tensor, "F Y X"],
    slots: int,
    void: Bool[Tensor, "F Y X"] | None = None,
    bound_th: float = 0.008,
) -> tuple[Float64[Tensor, "F K"], Float64[Tensor, "F K"]]:
    """``jaccard`` and ``boundary_f`` in one go, which is faster than one after the other.

    Args:
        pred: Predicted slot + 1, 0 background.
        truth: The same; VOID pixels are left out.
        slots: Number of objects ``K``.
        void: Further pixels to leave out.
        bound_th: See ``boundary_radius``.

    Returns:
        J and F, in 0..1, on the device of ``pred``.

    Raises:
        ConfigError: If ``slots`` or ``bound_th`` is out of range.
        DatasetError: If the sizes differ.
    """
    counts = count(pred, truth, slots, void, boundary_radius(pred.shape[1:], bound_th))
    return torch.as_tensor(overlap(counts)), torch.as_tensor(harmonic(counts))


class JAndF(Metric):  # type: ignore[misc]  # torchmetrics is not followed
    """J, F and J&F over whole videos: mean, recall and decay per object, per video and overall.

    The first and the last frame of a video that it is given are left out, as DAVIS does: so hand it every frame that
    has a truth, the first one included. Figures are means over frames, then over all objects of all videos. Videos
    with nothing between first and last frame are listed as unscored. A video may come in several updates, in time
    order, but only in one process.

    Args:
        protocol: ``davis17`` scores every object; ``davis16`` joins all objects of a video to one (Perazzi et al.,
            CVPR 2016; Pont-Tuset et al., The 2017 DAVIS Challenge, 2017). ``youtube`` scores every object in all frames
            behind the one in which it was given, the last one included; the overall figures are the mean of those of
            seen and unseen categories, so J&F is G (Xu et al., YouTube-VOS, 2018).
        bound_th: Boundary tolerance, see ``boundary_radius``.
        kwargs: Options of ``torchmetrics.Metric``.

    Raises:
        ConfigError: If ``protocol`` is unknown or ``bound_th`` is not positive.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    values: list[Tensor]
    """float64: J, then F, of every object in every frame."""
    headers: list[Tensor]
    """uint8: a line of JSON per update, the description of its ``values``; text, since processes gather tensors."""

    def __init__(self, protocol: Protocol = "davis17", bound_th: float = 0.008, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if protocol not in get_args(Protocol):
            raise ConfigError(f"Unknown protocol {protocol!r}; known: {', '.join(get_args(Protocol))}.")
        boundary_radius((1, 1), bound_th)
        self.protocol, self.bound_th = protocol, bound_th
        self.add_state("values", [], dist_reduce_fx="cat")
        self.add_state("headers", [], dist_reduce_fx="cat")

    def update(
        self,
        pred: Integer[Tensor, "F Y X"],
        truth: Integer[Tensor, "F Y X"],
        *,
        video: str,
        ids: Sequence[int],
        frames: Sequence[str] | None = None,
        starts: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        void: Bool[Tensor, "F Y X"] | None = None,
    ) -> None:
        """Add the next frames of a video.

        Args:
            pred: Predicted slot + 1, 0 background.
            truth: The same; VOID pixels are left out.
            video: Its name.
            ids: The user's id of each slot, the same in every update of the video.
            frames: Names of the frames; numbered from 0 if not given.
            starts: Name of the frame in which each object was given; the first one if not given. For ``youtube``.
            groups: ``seen`` or ``unseen``, of each object's category; empty if it is not known. For ``youtube``.
            void: Further pixels to leave out.

        Raises:
            DatasetError: If sizes or numbers do not fit together.
        """
        names = len(pred) if frames is None else list(frames)
        if frames is not None and len(frames) != len(pred):
            raise DatasetError(f"'{video}': {len(frames)} frame names for {len(pred)} frames; give one for each.")
        if len(set(ids)) < len(ids) or len(ids) > MAX_SLOTS:
            raise DatasetError(f"'{video}': object ids {list(ids)}; give up to {MAX_SLOTS} different ones.")
        if self.protocol == "davis16":
            pred, truth = ((labels > 0).to(torch.uint8).masked_fill(labels == VOID, VOID) for labels in (pred, truth))
            ids = (1,) if len(ids) else ()
        measured = j_and_f(pred, truth, len(ids), void, self.bound_th)
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        header = {
            "video": video,
            "ids": [int(key) for key in ids],
            "frames": names,
            **({} if starts is None else {"starts": list(starts)}),
            **({} if groups is None else {"groups": list(groups)}),
            "process": torch.distributed.get_rank() if distributed else 0,
        }
        self._add(header, torch.stack(measured).flatten())

    def measures(self, since: int = 0) -> list[Any]:
        """The updates from number ``since`` on, as plain values for ``restore``."""
        pairs = zip(self.headers[since:], self.values[since:], strict=True)
        return [[json.loads(bytes(header.cpu().numpy())), values.tolist()] for header, values in pairs]

    def restore(self, measures: Sequence[Any]) -> None:
        """Take back what ``measures`` gave, exactly."""
        for header, values in measures:
            self._add(header, torch.tensor(values, dtype=torch.float64))

    def _add(self, header: dict[str, Any], values: Float64[Tensor, " n"]) -> None:
        self.values.append(values.to(self.device))
        text = bytearray(json.dumps(header).encode() + b"\n")
        self.headers.append(torch.frombuffer(text, dtype=torch.uint8).to(self.device))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Make the state that of all processes; one that saw no video must still take part with the right types."""
        self.values = self.values or [torch.empty(0, dtype=torch.float64, device=self.device)]
        self.headers = self.headers or [torch.empty(0, dtype=torch.uint8, device=self.device)]
        super().sync(*args, **kwargs)

    def compute(self) -> JAndFResult:
        """The figures of all videos so far, in the order of their names, so that the split over processes is no matter.

        Raises:
            DatasetError: If a video came from two processes, twice, or with changing ids.
        """
        sequences, unscored = {}, {}
        groups: dict[str, list[Score]] = {}
        end, ends = (None, "first does") if self.protocol == "youtube" else (-1, "first and last do")
        for video, (header, frames, values) in sorted(self._videos().items()):
            ids, counted = header["ids"], frames[1:end]
            if not ids or not counted:
                few = f"only {len(frames)} frame{'s' * (len(frames) != 1)} with a mask; the {ends} not count"
                unscored[video] = few if ids else "no object"
                continue
            late = [frames.index(name) if name in frames else 0 for name in header.get("starts", ())]
            begins = late if self.protocol == "youtube" and late else [0] * len(ids)
            objects = {}
            for slot, key in enumerate(ids):
                scored = values[begins[slot] + 1 : end, slot].T
                if scored.shape[1]:
                    j, f = scored.tolist()
                    group = header.get("groups", [""] * len(ids))[slot]
                    objects[key] = ObjectResult(Score.of_frames(*scored), tuple(j), tuple(f), group)
                    groups.setdefault(group, []).append(objects[key].score)
            mean = Score.mean(found.score for found in objects.values())
            sequences[video] = SequenceResult(mean, tuple(counted), objects)
        overall = Score.mean(found.score for each in sequences.values() for found in each.objects.values())
        means: dict[str, Score] = {name: Score.mean(groups[name]) for name in ("seen", "unseen") if name in groups}
        if self.protocol == "youtube" and len(means) == 2:
            overall = Score.mean(means.values())
        return JAndFResult(self.protocol, overall, sequences, unscored, means)

    def _videos(self) -> dict[str, tuple[dict[str, Any], list[str], Float64[Tensor, "F K 2"]]]:
        """First header, frame names and values of each video, put together from its updates."""
        text = bytes(dim_zero_cat(self.headers).cpu().numpy()).decode()
        values = dim_zero_cat(self.values).cpu()
        videos: dict[str, tuple[dict[str, Any], list[str], list[Tensor]]] = {}
        processes: dict[str, int] = {}
        for line in text.splitlines():
            header = json.loads(line)
            video, ids = header["video"], header["ids"]
            first, names, parts = videos.setdefault(video, (header, [], []))
            known = first["ids"]
            fresh = header["frames"]
            if isinstance(fresh, int):
                fresh = [str(len(names) + index) for index in range(fresh)]
            if processes.setdefault(video, header["process"]) != header["process"]:
                raise DatasetError(
                    f"'{video}' was scored by two processes, which would bias J&F. Share videos out without duplicates "
                    "and keep the frames of a video in one process."
                )
            if known != ids:
                raise DatasetError(f"'{video}' came with object ids {known}, then with {ids}. Give all ids each time.")
            if repeated := set(names) & set(fresh):
                raise DatasetError(
                    f"'{video}' was scored twice in frame '{min(repeated)}'. Reset the metric in between."
                )
            size = 2 * len(fresh) * len(ids)
            parts.append(values[:size].view(2, len(fresh), len(ids)).permute(1, 2, 0))
            values = values[size:]
            names += fresh
        return {video: (first, names, torch.cat(parts)) for video, (first, names, parts) in videos.items()}
