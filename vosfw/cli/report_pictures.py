"""The pictures of a report, no larger than wanted."""

from collections.abc import Sequence

from tqdm import tqdm

from vosfw.cli.evaluated import Evaluation
from vosfw.cli.evaluated_videos import EvaluatedVideos
from vosfw.cli.report_films import films
from vosfw.cli.report_frames import Wanted
from vosfw.cli.report_stills import stills
from vosfw.errors import VosfwError
from vosfw.report.sections import Notes, Section


def pictures(
    evaluations: Sequence[Evaluation],
    wanted: Wanted,
    *,
    runs: int,
    overrides: Sequence[str] = (),
    trust_targets: bool = False,
    quiet: bool = False,
) -> list[Section]:
    """Sections of worst frames, of videos, and of what could not be shown.

    Args:
        evaluations: All there are.
        wanted: What to show.
        runs: How many of them get pictures, the first ones.
        overrides: See ``EvaluatedVideos``.
        trust_targets: Likewise.
        quiet: No progress bar.
    """
    found: list[EvaluatedVideos] = []
    notes: list[str] = []
    candidates = [each for each in evaluations if each.run.results.get("sequences")]
    for each in candidates[:runs]:
        try:
            found.append(EvaluatedVideos(each, overrides, trust_targets))
        except VosfwError as error:
            notes.append(f"{each.name}: no pictures, {' '.join(str(error).split())}")
    if len(candidates) > runs:
        notes.append(f"pictures are of the first {runs} of {len(candidates)} runs: name fewer, or set --max-runs")
    with tqdm(desc="pictures", unit="frame", disable=quiet or not found) as bar:
        made, used = stills(found, wanted, notes, bar)
        made += films(found, wanted, wanted.most - used, notes, bar)
    if made and not all(each.has_entropy for each in found):
        notes.append("maps of uncertainty: evaluate again with entropy=true (evaluate.py … entropy=true)")
    return [*made, *([Notes("Not shown", list(dict.fromkeys(notes)))] if notes else [])]
