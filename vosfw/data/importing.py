"""Annotations of other tools as a folder of videos and masks."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vosfw.data.annotated import Annotations
from vosfw.data.annotation_files import open_annotations
from vosfw.data.files import replacing
from vosfw.data.frame_finder import is_stored_as_is, open_frame
from vosfw.data.import_mask import Counts, draw
from vosfw.data.import_plan import Frame, Plan, plan_videos
from vosfw.data.io import write_mask
from vosfw.errors import DatasetError, OutputError

NOTE = "import.json"
"""In a folder that was imported: from what, and whether it is complete."""
META = "meta.json"
"""In such a folder: the category and track of each object, in the form of YouTube-VOS."""
TOLD = 10
"""Errors that are listed before the rest is only counted."""


def import_annotations(
    source: Path,
    out: Path,
    frames: Path | None = None,
    video: str | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> Counts:
    """Write annotations as ``frames/<video>``, ``masks/<video>`` and ``meta.json`` (``vosfw.data.folder``).

    Args:
        source: Annotation file, or a folder of labelme's.
        out: New or empty folder.
        frames: Folder of the frames, or video file; the folder of the annotations if left out.
        video: Name of the one video that all frames belong to.
        resume: Go on with an interrupted import of the same file.
        force: Replace an earlier import.
        watch: Called with the number of frames that are done, and of all.

    Raises:
        DatasetError: If annotations or frames are missing, damaged, or do not fit together; nothing is written then,
            but for damage that shows up in drawing.
        OutputError: If the folder holds anything else, or cannot be written.
    """
    found = open_annotations(source)
    plans = plan_videos(found, frames, video)
    _refuse(found)
    if not any(plan.objects for plan in plans):
        raise DatasetError(f"No object in '{source}' that a mask can be made of{_reasons(found.left_out)}.")
    about = {"source": str(source.resolve()), "frames": str(frames and frames.resolve()), "video": str(video)}
    about["sha256"] = _digest(source)
    _claim(out, about, resume=resume, force=force)
    _note(out, NOTE, {"complete": False, "about": about})
    counts = Counts(found.format, len(plans))
    total, done = sum(len(plan.frames) for plan in plans), 0
    meta: dict[str, Any] = {}
    for plan in plans:
        if plan.source is not None:
            _copy(plan.source.path, out / "frames" / f"{plan.name}{plan.source.path.suffix.lower()}")
        shown: dict[int, list[str]] = {id_: [] for id_ in plan.objects.values()}
        for frame in plan.frames:
            _write_frame(plan, frame, out)
            if frame.picture is not None and frame.picture.annotated:
                ids = draw(frame, plan.objects, found, counts)
                write_mask(out / "masks" / plan.name / f"{frame.name}.png", torch.from_numpy(ids))
                counts.masks += 1
                for id_ in np.unique(ids[ids > 0]).tolist():
                    shown[id_].append(frame.name)
            done += 1
            if watch is not None:
                watch(done, total)
        _refuse(found)
        counts.frames += len(plan.frames)
        counts.objects += len(plan.objects)
        objects = {
            str(id_): {"category": category, "track": track, "frames": shown[id_]}
            for (category, track), id_ in plan.objects.items()
        }
        meta[plan.name] = {"objects": objects}
    _note(out, META, {"videos": meta})
    _note(out, NOTE, {"complete": True, "about": about})
    counts.left_out += found.left_out
    counts.notes = [problem.text for problem in found.problems]
    return counts


def _refuse(found: Annotations) -> None:
    errors = [problem for problem in found.problems if problem.error]
    if errors:
        told = "\n  ".join(f"{problem.path}: {problem.text}" for problem in errors[:TOLD])
        more = f"\n  and {len(errors) - TOLD} more" if len(errors) > TOLD else ""
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        raise DatasetError(
            f"{count} in '{found.path}' ({found.format}):\n  {told}{more}\nvosfw check lists everything."
        )


def _reasons(left_out: Counter[str]) -> str:
    return f" (left out: {', '.join(f'{count} {reason}' for reason, count in left_out.items())})" if left_out else ""


def _digest(source: Path) -> str:
    files = (
        [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.suffix.lower() in (".json", ".xml"))
    )
    digest = hashlib.sha256()
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _claim(out: Path, about: dict[str, str], *, resume: bool, force: bool) -> None:
    """Make sure that the folder is free for this import."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        known = json.loads((out / NOTE).read_text(encoding="utf-8"))
        same = known["about"] == about
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"'{out}' is there and holds something else. Import into a new folder.") from error
    if force:
        for name in ("frames", "masks"):
            shutil.rmtree(out / name, ignore_errors=True)
    elif not (resume and same):
        hint = "other annotations" if not same else "these annotations"
        raise OutputError(
            f"'{out}' holds an import of {hint}. --resume goes on with the same one, --force replaces it."
        )


def _write_frame(plan: Plan, frame: Frame, out: Path) -> None:
    if frame.path is None:
        return
    folder = out / "frames" / plan.name
    if is_stored_as_is(frame.path):
        _copy(frame.path, folder / f"{frame.name}{frame.path.suffix.lower()}")
        return
    target = folder / f"{frame.name}.png"
    if not target.is_file():
        image = open_frame(frame.path)
        with replacing(target) as draft:
            image.save(draft, format="PNG")


def _copy(path: Path, target: Path) -> None:
    if not target.is_file():
        with replacing(target) as draft:
            shutil.copyfile(path, draft)


def _note(out: Path, name: str, content: dict[str, Any]) -> None:
    with replacing(out / name) as draft:
        draft.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
