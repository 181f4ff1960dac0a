"""What is left of J&F on perturbed videos, as a report shows it."""

from collections.abc import Sequence
from typing import Any

from vosfw.cli.evaluated import Evaluation
from vosfw.cli.report_tables import column, percent
from vosfw.report.sections import Bar, Bars, Cell, Marked, Section, Table


def robustness(evaluations: Sequence[Evaluation]) -> list[Section]:
    """Bars and a table of the perturbed sets; runs of the same benchmark on the same videos share a chart."""
    groups: dict[Any, list[Evaluation]] = {}
    for each in evaluations:
        if each.robustness:
            groups.setdefault((tuple(each.robustness["sets"]), each.kind), []).append(each)
    found: list[Section] = []
    rows: list[list[Cell]] = []
    for group in groups.values():
        sets = list(group[0].robustness["sets"])
        bars = []
        for each in group:
            content = each.robustness
            figures = [content["sets"][name]["j_and_f"] for name in sets]
            bars.append(
                Bar(
                    each.name,
                    each.number,
                    100 * content["q_c"]["value"],
                    *([percent(figure.get(key)) for figure in figures] for key in ("value", "low", "high")),
                )
            )
            rows.append([Marked(each.name, each.number), "clean", "", None, *estimate(content["q_c"]), *[None] * 3])
            for name in sets:
                rows.append([Marked(each.name, each.number), name, *perturbation(content, name)])
                rows[-1] += [*estimate(content["sets"][name]["j_and_f"]), *estimate(content["sets"][name]["loss"])]
            rows.append([Marked(each.name, each.number), "mean of the perturbed", "", None])
            rows[-1] += [*estimate(content["q_p"]), *estimate(content["r_p"])]
        levels = [perturbation(group[0].robustness, name)[1] for name in sets]
        labels = [name if level is None else f"{name} ({level})" for name, level in zip(sets, levels, strict=True)]
        first = group[0].robustness
        intro = "J&F on each perturbed set, its severity in brackets. The upright line is the clean set's, the number "
        intro += "the difference from it; "
        intro += f"whiskers are {first.get('level', 0.95):.0%} intervals over {first.get('sequences', '?')} videos."
        found.append(Bars("Robustness", intro, "J&F in percent", labels, bars))
    if rows:
        heads = [column("run", None), column("set", None), column("perturbation", None), column("severity", 0)]
        heads += [column(head) for head in ("J&F", "low", "high", "loss", "loss, low", "loss, high")]
        several = len({row[0] for row in rows}) > 1
        heads, rows = (heads, rows) if several else (heads[1:], [row[1:] for row in rows])
        intro = "In percent, with intervals. Loss is the clean set's J&F less that of the set."
        found.append(Table("Robustness in numbers", heads, rows, intro, facets=(0,) if several else ()))
    return found


def perturbation(content: Any, name: str) -> tuple[str, int | None]:
    """Kind and severity of a set."""
    node = content.get("perturbations", {}).get(name) or {}
    return str(node.get("_target_", "")).rpartition(".")[2], node.get("severity")


def estimate(found: Any) -> list[float | None]:
    """A figure with its interval, in percent."""
    return [percent(found.get(key)) for key in ("value", "low", "high")]
