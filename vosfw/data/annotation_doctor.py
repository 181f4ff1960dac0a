"""Examines annotations of other tools, without converting them."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from vosfw.data.annotation_files import open_annotations
from vosfw.data.doctor import Report, VideoReport
from vosfw.data.import_mask import Counts, draw
from vosfw.data.import_plan import plan_videos
from vosfw.types import MAX_SLOTS


def examine_annotations(
    source: Path, frames: Path | None = None, video: str | None = None, watch: Callable[[int, int], None] | None = None
) -> Report:
    """What annotations hold and what is wrong with them, without converting; see ``data.importing``.

    Raises:
        DatasetError: If they cannot be read at all.
    """
    found = open_annotations(source)
    plans = plan_videos(found, frames, video)
    total = sum(len(plan.frames) for plan in plans)
    rows, done, counts = [], 0, Counts(found.format)
    for plan in plans:
        kinds: Counter[str] = Counter()
        masks = bare = 0
        for frame in plan.frames:
            if frame.picture is not None and frame.picture.annotated:
                counts.shapes.clear()
                if len(plan.objects) <= MAX_SLOTS:
                    draw(frame, plan.objects, found, counts)
                kinds += counts.shapes
                masks += 1
            else:
                bare += 1
            done += 1
            if watch is not None:
                watch(done, total)
        if bare:
            text = f"Video '{plan.name}': {bare} of {len(plan.frames)} frames are without annotation."
            found.complain(source, text, error=False)
        if not plan.objects:
            found.complain(source, f"Video '{plan.name}' has no object. Annotate at least one frame.")
        size = plan.frames[0].size if plan.frames else None
        rows.append(VideoReport(plan.name, len(plan.frames), masks, len(plan.objects), size, tuple(sorted(kinds))))
    if counts.overlapping:
        text = f"{counts.overlapping} pixels belong to several objects; the later one gets them."
        found.complain(source, text, error=False)
    problems = sorted(found.problems, key=lambda problem: not problem.error)
    return Report(found.format, tuple(rows), tuple(problems))
