"""What an evaluation by J and F found, as plain numbers."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vosfw.metrics.statistics import statistics


class Score(NamedTuple):
    """J and F of an object, or the mean of several; nan if there was nothing to score."""

    j_and_f: float
    j: float
    j_recall: float
    j_decay: float
    f: float
    f_recall: float
    f_decay: float

    @classmethod
    def of_frames(cls, j: Float64[Tensor, "F"], f: Float64[Tensor, "F"]) -> "Score":
        """The score of one object from its values per frame."""
        j_mean, j_recall, j_decay, f_mean, f_recall, f_decay = (
            value.item() for value in (*statistics(j), *statistics(f))
        )
        return cls((j_mean + f_mean) / 2, j_mean, j_recall, j_decay, f_mean, f_recall, f_decay)

    @classmethod
    def mean(cls, scores: "Iterable[Score]") -> "Score":
        """The plain mean of each figure."""
        rows = list(scores)
        return cls(*torch.tensor(rows or [[math.nan] * len(cls._fields)], dtype=torch.float64).mean(0).tolist())


class ObjectResult(NamedTuple):
    """One object of one video."""

    score: Score
    j: tuple[float, ...]
    """Per scored frame; of an object that joins later these are the last ones of its video."""
    f: tuple[float, ...]
    group: str = ""
    """``seen`` or ``unseen``, if the category is known (YouTube-VOS)."""


class SequenceResult(NamedTuple):
    """One video."""

    score: Score
    """Mean over the objects."""
    frames: tuple[str, ...]
    """Names of the scored frames."""
    objects: dict[int, ObjectResult]
    """By the user's object id."""


class JAndFResult(NamedTuple):
    """An evaluation over several videos."""

    protocol: str
    score: Score
    """Mean over all objects of all videos."""
    sequences: dict[str, SequenceResult]
    unscored: dict[str, str]
    """Videos that could not be scored, and why."""
    groups: dict[str, Score]
    """Mean over the objects of ``seen`` and of ``unseen`` categories, where they are known (YouTube-VOS)."""

    @property
    def j_and_f(self) -> float:
        """J&F in 0..1."""
        return self.score.j_and_f

    @property
    def j(self) -> float:
        """Mean J in 0..1."""
        return self.score.j

    @property
    def f(self) -> float:
        """Mean F in 0..1."""
        return self.score.f

    def scalars(self, prefix: str = "") -> dict[str, float]:
        """The overall figures by name, to be logged: ``val/`` gives ``val/j_and_f``, ``val/j``, and so on."""
        parts = {"": self.score} | {f"_{group}": score for group, score in self.groups.items()}
        return {prefix + name + part: value for part, score in parts.items() for name, value in score._asdict().items()}

    def brief(self) -> dict[str, Any]:
        """J&F, J and F, and ``videos``: J&F by video; plain, what is not a number is None."""
        videos = {name: _plain(sequence.score)["j_and_f"] for name, sequence in self.sequences.items()}
        return {name: _plain(self.score)[name] for name in ("j_and_f", "j", "f")} | {"videos": videos}

    def to_json(self, per_frame: bool = True) -> dict[str, Any]:
        """Plain dicts and lists; what is not a number becomes None.

        Args:
            per_frame: Add the names of the scored frames and each object's J and F in them.
        """
        sequences = {}
        for name, sequence in self.sequences.items():
            objects: dict[str, Any] = {}
            for key, found in sequence.objects.items():
                objects[str(key)] = _plain(found.score) | ({"group": found.group} if found.group else {})
                if per_frame:
                    objects[str(key)] |= {"j_per_frame": list(found.j), "f_per_frame": list(found.f)}
            sequences[name] = {**_plain(sequence.score), "objects": objects}
            if per_frame:
                sequences[name]["frames"] = list(sequence.frames)
        return {
            **_plain(self.score),
            "protocol": self.protocol,
            **({"groups": {name: _plain(score) for name, score in self.groups.items()}} if self.groups else {}),
            "sequences": sequences,
            "unscored": dict(self.unscored),
        }


def _plain(score: Score) -> dict[str, Any]:
    """A score for JSON, which has no nan."""
    return {name: None if math.isnan(value) else value for name, value in score._asdict().items()}
