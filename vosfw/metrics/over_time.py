"""How scores change over the course of videos (RPCM, figure 1a; AOC, figure 6)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64

from vosfw.errors import ConfigError


def over_time(results: Mapping[str, Any], measure: str = "j_and_f", points: int = 51) -> Float64[np.ndarray, " P"]:
    """A score over normalised time: each object's score per frame, brought to 0..1 of its video, mean over objects.

    0 is the first scored frame of a video, 1 the last one, so that short videos reach as far as long ones; between
    frames the score is interpolated. An object that joins later (YouTube-VOS) counts from its first scored frame on.

    Args:
        results: What ``JAndFResult.to_json`` gives, with scores per frame.
        measure: ``j_and_f``, ``j`` or ``f``.
        points: Of time, at even distances.

    Returns:
        In 0..1; nan where there is no object, as everywhere if no scores per frame were stored.

    Raises:
        ConfigError: If ``measure`` is unknown or ``points`` is below 2.
    """
    parts = {"j_and_f": ("j", "f"), "j": ("j",), "f": ("f",)}.get(measure)
    if parts is None or points < 2:
        raise ConfigError(f"over_time got measure={measure!r}, points={points}; wanted j_and_f, j or f, and 2 or more")
    time = np.linspace(0, 1, points)
    curves = []
    for sequence in results["sequences"].values():
        last = max(len(sequence.get("frames", ())) - 1, 1)
        for found in sequence["objects"].values():
            values = np.mean([found.get(f"{part}_per_frame", ()) for part in parts], axis=0)
            if not values.size:
                continue
            own = (np.arange(len(values)) + len(sequence["frames"]) - len(values)) / last
            curves.append(np.interp(time, own, values, left=np.nan))
    if not curves:
        return np.full(points, np.nan)
    known = ~np.isnan(curves)
    total, count = np.nansum(curves, axis=0), known.sum(0)
    mean: Float64[np.ndarray, " P"] = np.divide(total, count, out=np.full(points, np.nan), where=count > 0)
    return mean
