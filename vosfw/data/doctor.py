"""Examines a folder of videos and masks: what is there, and everything that is wrong with it."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from vosfw.data.io import frame_size, refuse_deep
from vosfw.data.mask_file import mask_kind, open_picture, read_mask
from vosfw.data.places import Layout, Problem, Source, find_files, find_sources, guess_layout
from vosfw.data.video import present_ids
from vosfw.data.video_file import VIDEO_SUFFIXES, VideoFile
from vosfw.errors import DatasetError
from vosfw.types import MAX_SLOTS

MANY = 4_000
"""Files from which on processes are worth their start."""


class VideoReport(NamedTuple):
    """What one video consists of."""

    name: str
    frames: int
    masks: int
    objects: int
    size: tuple[int, int] | None
    """Height and width of most frames."""
    kinds: tuple[str, ...]
    """How its masks hold their ids (see ``mask_kind``), or what its shapes are."""


class Report(NamedTuple):
    """What was found in a folder."""

    layout: str
    """Or format of annotations."""
    videos: tuple[VideoReport, ...]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> int:
        """Problems that must be cured."""
        return sum(problem.error for problem in self.problems)


class MaskFacts(NamedTuple):
    """What one mask holds."""

    size: tuple[int, int]
    kind: str
    ids: tuple[int, ...]
    unlabelled: bool
    """It holds neither object nor background."""


def examine(root: Path, layout: Layout | None = None, watch: Callable[[int, int], None] | None = None) -> Report:
    """Read every file of a data set once.

    Args:
        root: Its folder.
        layout: See ``data.davis``, ``data.youtube_vos`` and ``data.folder``; guessed if not given.
        watch: Called with the number of files that are done, and of all.

    Raises:
        DatasetError: If the folder is not there or has no known layout.
    """
    layout = guess_layout(root) if layout is None else layout
    if not root.is_dir():
        raise DatasetError(f"No folder '{root}'. Name the folder of a data set.")
    problems: list[Problem] = []
    sources = find_sources(root, layout, problems)
    videos = []
    listed = [(source, *find_files(source, layout, problems)) for source in sources]
    total = sum(len(frames) + len(masks) for _, frames, masks in listed)
    done = 0
    with _pool(total) as pool:
        waiting = [
            (*item, pool.map(_frame_facts, item[1], chunksize=8), pool.map(_mask_facts, item[2], chunksize=8))
            for item in listed
        ]
        for source, frames, masks, sizes, facts in waiting:
            videos.append(_judge(source, layout, frames, masks, list(sizes), list(facts), problems))
            done += len(frames) + len(masks)
            if watch is not None:
                watch(done, total)
    return Report(layout, tuple(videos), tuple(sorted(problems, key=lambda problem: (not problem.error, problem.path))))


def _pool(files: int) -> Executor:
    cores = os.cpu_count() or 1
    if files < MANY:
        return ThreadPoolExecutor(cores)
    return ProcessPoolExecutor(cores, mp_context=get_context("spawn"))


def _frame_facts(path: Path) -> tuple[int, int] | str:
    """Size of a frame that can be decoded, or what is wrong with it."""
    try:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            return VideoFile(path).size
        size = frame_size(path)
        with Image.open(path) as image:
            refuse_deep(image, path)
            # All of the file is read, at the least cost.
            image.draft("RGB", (1, 1))
            image.load()
        return size
    except DatasetError as error:
        return str(error)
    except (OSError, SyntaxError, ValueError) as error:
        return f"The frame '{path}' cannot be decoded ({error}; {path.stat().st_size} bytes). Copy or export it again."


def _mask_facts(path: Path) -> MaskFacts | str:
    try:
        image = open_picture(path, "mask")
        ids = read_mask(path)
        present = tuple(present_ids(ids))
        return MaskFacts((image.height, image.width), mask_kind(image), present, not present and bool((ids > 0).all()))
    except DatasetError as error:
        return str(error)


def _judge(
    source: Source,
    layout: Layout,
    frames: list[Path],
    masks: list[Path],
    sizes: list[tuple[int, int] | str],
    facts: list[MaskFacts | str],
    problems: list[Problem],
) -> VideoReport:
    """What the files of one video say together."""

    def complain(path: Path, text: str, *, error: bool = True) -> None:
        problems.append(Problem(error, path, text))

    count, names = len(frames), [path.stem for path in frames]
    common = Counter(found for found in sizes if not isinstance(found, str)).most_common(1)
    size = common[0][0] if common else None
    for path, found in zip(frames, sizes, strict=True):
        if isinstance(found, str):
            complain(path, found)
        elif size is not None and found != size:
            sizes_told = f"{_size(found)}, most frames {_size(size)} (height x width)"
            complain(path, f"{sizes_told}. Export all at one size.")
    if source.frames.is_file() and size is not None:
        count = len(VideoFile(source.frames))
        names = [f"{i:05d}" for i in range(count)]
    order, known = {name: i for i, name in enumerate(names)}, list[MaskFacts]()
    given: dict[int, int] = {}
    for path, fact in sorted(zip(masks, facts, strict=True), key=lambda pair: order.get(pair[0].stem, -1)):
        if path.stem not in order and names:
            there = f"there are '{names[0]}' to '{names[-1]}'"
            complain(path, f"No frame of this name; {there}. Add the frame or remove the mask.")
        if isinstance(fact, str):
            complain(path, fact)
            continue
        if size is not None and fact.size != size:
            told = f"{_size(fact.size)}, its video's frames {_size(size)} (height x width)"
            complain(path, f"{told}. Export it at that size, or load it with resize_masks=true.")
        if fact.unlabelled:
            complain(path, "Every pixel is 255, unlabelled. Export the mask again.", error=not known)
        if not known and not fact.ids and layout == "davis" and not fact.unlabelled:
            complain(
                path, "No object in the first mask: every pixel is background or 255, unlabelled. Draw at least one."
            )
        for id_ in fact.ids:
            given.setdefault(id_, order.get(path.stem, 0))
        known.append(fact)
    if masks and source.first and names and names[0] not in {path.stem for path in masks}:
        text = f"No mask for the first frame '{names[0]}', in which DAVIS gives the objects. Add {names[0]}.png."
        complain(source.masks, text)
    if known and not given and layout != "davis":
        complain(source.masks, "No object in any mask: every pixel is background. Draw at least one.")
    _judge_ids(source, layout, known, given, complain)
    kinds = tuple(sorted({fact.kind for fact in known}))
    return VideoReport(source.name, count, len(masks), len(given), size, kinds)


def _judge_ids(
    source: Source, layout: Layout, known: list[MaskFacts], given: dict[int, int], complain: Callable[..., None]
) -> None:
    if len(given) > MAX_SLOTS:
        complain(source.masks, f"{len(given)} objects; at most {MAX_SLOTS} fit. Split the masks over several videos.")
    if layout == "davis" and known:
        late = sorted(set(given) - set(known[0].ids))
        if late and known[0].ids:
            text = f"Objects {_some(late)} are not in the first mask, so DAVIS's protocol ignores them."
            complain(source.masks, text, error=False)
    kinds = Counter(fact.kind for fact in known)
    if len(kinds) > 1 and not set(kinds) <= {"grey", "16-bit"}:
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        complain(source.masks, f"Masks of several kinds ({told}) do not agree on ids. Export all in the same way.")


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _some(ids: Iterable[int]) -> str:
    names = list(map(str, ids))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
