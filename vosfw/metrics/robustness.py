"""How much of J&F is left on perturbed videos (AOC, Xu et al., ACM MM 2022, equations 9 and 10)."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vosfw.errors import ConfigError, DatasetError
from vosfw.metrics.bootstrap import Estimate, ObjectScore, draws, estimate, object_scores, overall

__all__ = ["Estimate", "ObjectScore", "Robustness", "object_scores", "robustness"]


class Robustness(NamedTuple):
    """The benchmark of one model. Figures are J&F in 0..1, or differences of it."""

    clean: Estimate
    """Q_c, on the videos as they are."""
    perturbed: dict[str, Estimate]
    """Q_eps, on each perturbed set."""
    drops: dict[str, Estimate]
    """Q_c - Q_eps of each set."""
    mean: Estimate
    """Q_p, the mean of the perturbed sets (equation 9)."""
    loss: Estimate
    """R_p = Q_c - Q_p (equation 10): the less, the more robust."""
    level: float
    """Share of the bootstrap samples between ``low`` and ``high``."""
    sequences: int

    def rows(self) -> list[tuple[str, Estimate, Estimate | None]]:
        """Name, Q and loss against the clean set, of every set and of their mean."""
        sets = [(name, found, self.drops[name]) for name, found in self.perturbed.items()]
        return [("clean", self.clean, None), *sets, ("mean of the perturbed", self.mean, self.loss)]

    def to_text(self) -> str:
        """A Markdown table in percent."""
        lines = [
            "| set | J&F | interval | loss | interval |",
            "| --- | ---: | ---: | ---: | ---: |",
            *(f"| {name} | {_percent(q)} | {_percent(loss) if loss else ' | '} |" for name, q, loss in self.rows()),
        ]
        note = f"Q_c {100 * self.clean.value:.2f}, Q_p {100 * self.mean.value:.2f}, R_p {100 * self.loss.value:.2f}; "
        note += f"intervals: {self.level:.0%} of a bootstrap over {self.sequences} sequences"
        return "\n".join([*lines, "", note, ""])

    def to_csv(self) -> str:
        """One line per set, with full precision."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("set", "j_and_f", "low", "high", "loss", "loss_low", "loss_high"))
        writer.writerows((name, *q, *(loss or ("", "", ""))) for name, q, loss in self.rows())
        return text.getvalue()

    def to_json(self) -> dict[str, Any]:
        """Plain dicts."""
        sets = {
            name: {"j_and_f": q._asdict(), "loss": self.drops[name]._asdict()} for name, q in self.perturbed.items()
        }
        figures = {"q_c": self.clean._asdict(), "q_p": self.mean._asdict(), "r_p": self.loss._asdict()}
        return {**figures, "sets": sets, "level": self.level, "sequences": self.sequences}


def robustness(
    clean: Mapping[str, Sequence[ObjectScore]],
    perturbed: Mapping[str, Mapping[str, Sequence[ObjectScore]]],
    *,
    protocol: str = "davis17",
    samples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Robustness:
    """Q_c, Q_eps, Q_p and R_p with intervals of a bootstrap over sequences.

    A sample draws as many sequences as there are, with replacement, the same ones for all sets, so that losses are of
    pairs. Intervals tell how much the figures depend on the choice of videos; those of a few sequences are wide and
    only rough.

    Args:
        clean: Objects of each sequence, unperturbed.
        perturbed: The same of each perturbed set.
        protocol: See ``JAndF``: how figures of objects become one.
        samples: Of the bootstrap.
        level: Share of the samples that an interval holds.
        seed: Of the bootstrap.

    Raises:
        DatasetError: If there is nothing scored, or the sets differ in their objects.
        ConfigError: If there is no perturbed set, or a number is out of range.
    """
    if not perturbed or samples < 1 or not 0 < level < 1:
        raise ConfigError(
            f"{len(perturbed)} perturbed sets, samples={samples}, level={level}; wanted one set and one sample at "
            "least, and a level between 0 and 1"
        )
    names = sorted(clean)
    if not names:
        raise DatasetError("No sequence was scored, so there is nothing to compare. Use videos with a truth.")
    for name, scores in perturbed.items():
        if {key: len(objects) for key, objects in scores.items()} != {key: len(clean[key]) for key in names}:
            raise DatasetError(f"The perturbed set '{name}' was scored on other objects than the clean one.")
    counts = draws(len(names), samples, seed)
    q_clean = overall(clean, names, counts, protocol)
    q = {name: overall(scores, names, counts, protocol) for name, scores in perturbed.items()}
    mean = np.mean(list(q.values()), axis=0)
    return Robustness(
        estimate(q_clean, level),
        {name: estimate(values, level) for name, values in q.items()},
        {name: estimate(q_clean - values, level) for name, values in q.items()},
        estimate(mean, level),
        estimate(q_clean - mean, level),
        level,
        len(names),
    )


def _percent(found: Estimate) -> str:
    """A figure and its interval as two cells."""
    return f"{100 * found.value:.2f} | {100 * found.low:.2f} to {100 * found.high:.2f}"
