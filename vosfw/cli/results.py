"""Files of results that evaluations leave."""

import json
from pathlib import Path
from typing import Any

from vosfw.errors import DatasetError
from vosfw.metrics.bootstrap import object_scores

RESULTS = ("results.json", "robustness.json")
"""What evaluations leave."""
SCORES = ("j_and_f", "j", "f")


def read_results(path: Path) -> dict[str, Any]:
    """What an evaluation left in ``results.json`` or ``robustness.json``.

    Raises:
        DatasetError: If the file is missing or damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if "q_p" in content:
            figures = [content[name] for name in ("q_c", "q_p", "r_p")]
            values = [each["value"] for each in (*figures, *(each["j_and_f"] for each in content["sets"].values()))]
        else:
            values = [content.get(name) or 0 for name in SCORES]
            values += [
                each.score for name in SCORES for found in object_scores(content, name).values() for each in found
            ]
            for sequence in content["sequences"].values():
                for found in sequence["objects"].values():
                    j, f = (found.get(f"{name}_per_frame", []) for name in ("j", "f"))
                    if len(j) != len(f) or len(j) > len(sequence.get("frames", ())):
                        raise ValueError("scores per frame are incomplete")
                    values += [*j, *f]
        sum(map(float, values))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        kind = "missing" if isinstance(error, OSError) else "damaged"
        raise DatasetError(f"'{path}' is {kind} ({type(error).__name__}: {error}). Repeat the evaluation.") from error
    return content
