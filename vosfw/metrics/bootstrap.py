"""Bootstrap over sequences: how much a figure depends on the choice of videos."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from vosfw.errors import DatasetError

GROUPS = ("seen", "unseen")


class ObjectScore(NamedTuple):
    """One object of a sequence."""

    score: float
    """In 0..1."""
    group: str = ""
    """``seen`` or ``unseen``; empty if not known."""


class Estimate(NamedTuple):
    """A figure and where it lies over other draws of the same number of sequences."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """How much better one evaluation is than another one of the same videos."""

    estimate: Estimate
    """Difference of the overall figures, and its interval."""
    p: float
    """Of no difference, two-sided: twice the share of the samples on the other side of 0; in (0, 1]."""


def paired_difference(
    ours: Mapping[str, Sequence[ObjectScore]],
    theirs: Mapping[str, Sequence[ObjectScore]],
    *,
    protocol: str = "davis17",
    samples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Difference of two evaluations of the same objects by a paired bootstrap over sequences.

    A sample draws as many sequences as there are, with replacement, the same ones for both. Objects of one video are
    drawn together, since they share its difficulty. The p-value and the percentile interval agree: p is below
    ``1 - level`` where 0 is outside of the interval, up to the + 1 of Davison and Hinkley (1997, equation 4.11), by
    which no p-value is 0. Of fewer than about ten videos both are too sure of themselves.

    Args:
        ours: Objects of each sequence.
        theirs: The same of what it is compared with.
        protocol: See ``JAndF``: how figures of objects become one.
        samples: Of the bootstrap.
        level: Share of the samples that the interval holds.
        seed: Of the bootstrap.

    Raises:
        DatasetError: If there are not two sequences at least, or the two were scored on other objects.
    """
    names = sorted(ours)
    if len(names) < 2 or {key: len(found) for key, found in ours.items()} != {k: len(v) for k, v in theirs.items()}:
        raise DatasetError("A paired bootstrap wants two evaluations of the same objects of two videos at least.")
    gains = {
        name: [ObjectScore(a.score - b.score, a.group) for a, b in zip(ours[name], theirs[name], strict=True)]
        for name in names
    }
    found = overall(gains, names, draws(len(names), samples, seed), protocol)
    tail = min(int((found[1:] <= 0).sum()), int((found[1:] >= 0).sum()))
    return Difference(estimate(found, level), min(1.0, 2 * (tail + 1) / (samples + 1)))


def object_scores(results: Mapping[str, Any], measure: str = "j_and_f") -> dict[str, list[ObjectScore]]:
    """The objects of each sequence, out of what ``JAndFResult.to_json`` gives.

    Args:
        results: An evaluation.
        measure: ``j_and_f``, ``j`` or ``f``.
    """
    return {
        name: [
            ObjectScore(found[measure], found.get("group", ""))
            for found in sequence["objects"].values()
            if found[measure] is not None
        ]
        for name, sequence in results["sequences"].items()
    }


def draws(sequences: int, samples: int, seed: int) -> Float64[np.ndarray, "S N"]:
    """How often each sample holds each sequence; the first one holds every sequence once."""
    draw = np.random.Generator(np.random.PCG64(seed))
    counts = draw.multinomial(sequences, np.full(sequences, 1 / sequences), size=samples).astype(np.float64)
    return np.concatenate([np.ones((1, sequences)), counts])


def overall(
    scores: Mapping[str, Sequence[ObjectScore]], names: Sequence[str], counts: Float64[np.ndarray, "S N"], protocol: str
) -> Float64[np.ndarray, " S"]:
    """The overall figure of each sample, given how often it holds each sequence."""
    groups = [[found.group for found in scores[name]] for name in names]
    present = [group for group in GROUPS if any(group in found for found in groups)]
    if protocol != "youtube" or len(present) < 2:
        return _mean(counts, [[found.score for found in scores[name]] for name in names])
    parts = [
        _mean(counts, [[found.score for found in scores[name] if found.group == group] for name in names])
        for group in present
    ]
    # A sample may miss one of the groups.
    return np.asarray(np.nanmean(parts, axis=0))


def _mean(counts: Float64[np.ndarray, "S N"], scores: Sequence[Sequence[float]]) -> Float64[np.ndarray, " S"]:
    """Mean over all objects; nan where a sample has none."""
    totals = counts @ np.array([sum(found) for found in scores])
    sizes = counts @ np.array([float(len(found)) for found in scores])
    return np.asarray(np.divide(totals, sizes, out=np.full_like(totals, np.nan), where=sizes > 0))


def estimate(values: Float64[np.ndarray, " S"], level: float) -> Estimate:
    """The first one is the figure itself, the others are samples."""
    low, high = np.quantile(values[1:], [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(values[0]), float(low), float(high))
