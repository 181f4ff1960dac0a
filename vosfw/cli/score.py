"""``vosfw score``: J and F of predicted masks, of any tool, against the truth."""

import argparse
import logging
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from tqdm import tqdm

from vosfw.data.files import cannot_write, replacing
from vosfw.data.index import frame_files
from vosfw.data.io import frame_size, read_mask
from vosfw.data.video import present_ids, slot_labels
from vosfw.data.youtube_vos import read_categories
from vosfw.errors import ConfigError, DatasetError
from vosfw.metrics import JAndF, JAndFResult, to_csv, to_json, to_text
from vosfw.metrics.j_and_f import Protocol
from vosfw.types import MAX_SLOTS

logger = logging.getLogger(__name__)

SPAN = 8
"""Frames that are compared at once."""
SHOWN = 5
"""Names that a message lists before it only counts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-command."""
    layout = "folder with one folder of palette or greyscale-id PNGs per sequence"
    parser.add_argument("--pred", type=Path, required=True, metavar="DIR", help=f"predictions: {layout}")
    parser.add_argument("--gt", type=Path, required=True, metavar="DIR", help=f"ground truth: {layout}")
    parser.add_argument(
        "--protocol",
        choices=get_args(Protocol),
        default="davis17",
        help="davis17 scores every object; davis16 joins the objects of a sequence to one; youtube scores an object in "
        "all frames behind its first mask, seen and unseen categories apart (default: %(default)s)",
    )
    parser.add_argument("--meta", type=Path, metavar="JSON", help="youtube: meta.json of the truth, with categories")
    parser.add_argument("--seen", type=Path, metavar="JSON", help="youtube: meta.json of the training split")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where results.csv and results.json go; --pred if left out"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    """Score, print the table and write the files."""
    out = options.out or options.pred
    if options.out is None and not out.is_dir():
        raise DatasetError(f"No folder '{out}'. --pred names the folder with one folder of masks per sequence.")
    _check_writable(out)
    groups = seen_or_unseen(options.meta, options.seen)
    result = score(options.pred, options.gt, options.protocol, groups, progress=not options.quiet)
    for name, text in (("results.csv", to_csv(result)), ("results.json", to_json(result))):
        with replacing(out / name) as draft:
            draft.write_text(text, encoding="utf-8")
    print(to_text(result), end="")
    print(f"written: {out / 'results.csv'}, {out / 'results.json'}")
    return 0


def seen_or_unseen(meta: Path | None, seen: Path | None) -> dict[str, dict[int, str]]:
    """Whether each object's category is one of the training split, by sequence and id; nothing without both files.

    Raises:
        ConfigError: If only one is given.
        DatasetError: If one is missing or damaged.
    """
    if meta is None and seen is None:
        return {}
    if meta is None or seen is None:
        raise ConfigError("--meta and --seen belong together: categories of the truth, and of the training split")
    for path in (meta, seen):
        if not path.is_file():
            raise DatasetError(f"No file '{path}'. Name a meta.json of YouTube-VOS.")
    known = {category for objects in read_categories(seen).values() for category in objects.values()}
    return {
        name: {id_: "seen" if category in known else "unseen" for id_, category in objects.items()}
        for name, objects in read_categories(meta).items()
    }


def score(
    pred: Path,
    gt: Path,
    protocol: Protocol = "davis17",
    groups: Mapping[str, Mapping[int, str]] | None = None,
    *,
    progress: bool = False,
) -> JAndFResult:
    """Compare folders of masks, ``<sequence>/<frame>.png`` on both sides.

    Of DAVIS every object of the truth is scored, ids 1 to the highest one, in every frame that has a truth but the
    first and the last of each sequence; of YouTube-VOS every id in all frames behind the first that shows it.
    Predictions of other frames are not needed; others that are not needed are logged.

    Args:
        pred: Predictions.
        gt: Truth.
        protocol: See ``JAndF``.
        groups: ``seen`` or ``unseen``, by sequence and object id.
        progress: Show a progress bar.

    Raises:
        DatasetError: If a mask is missing, damaged, coloured or of another size than its truth.
    """
    sequences = _sequences(pred, gt, protocol)
    metric = JAndF(protocol)
    total = sum(len(each.scored) for each in sequences)
    with ThreadPoolExecutor() as pool:
        checked = tqdm(sequences, "checking", unit="sequence", disable=not progress)
        shown = [_appearances(each, pool) for each in checked]
        with tqdm(total=total, desc="scoring", unit="frame", disable=not progress) as bar:
            for sequence, starts in zip(sequences, shown, strict=True):
                _feed(metric, sequence, starts, (groups or {}).get(sequence.name, {}), pool, bar)
    return metric.compute()


class _Sequence(NamedTuple):
    """The files of one sequence."""

    name: str
    truth: dict[str, Path]
    """By frame, in time order."""
    pred: dict[str, Path]
    size: tuple[int, int]
    protocol: Protocol

    @property
    def scored(self) -> list[str]:
        """Frames that count."""
        return _counted(list(self.truth), self.protocol)


def _counted(frames: list[str], protocol: Protocol) -> list[str]:
    return frames[1:] if protocol == "youtube" else frames[1:-1]


def _sequences(pred: Path, gt: Path, protocol: Protocol) -> list[_Sequence]:
    """The sequences of the truth, once it is known that the masks to compare are there and of one size."""
    for folder, option in ((gt, "--gt"), (pred, "--pred")):
        if not folder.is_dir():
            raise DatasetError(
                f"No folder '{folder}'. {option} names the folder with one folder of masks per sequence."
            )
    truths, predictions = _masks(gt), _masks(pred)
    if not truths:
        raise DatasetError(
            f"No sequence in '{gt}': wanted folders of PNGs, <sequence>/<frame>.png. Of DAVIS, name Annotations/480p."
        )
    needed = {name: _counted(list(files), protocol) for name, files in truths.items()}
    if absent := [name for name, frames in needed.items() if frames and name not in predictions]:
        raise DatasetError(
            f"'{pred}' has no folder of PNGs for {_some(absent)}, out of {len(truths)} sequences in '{gt}'. "
            "Predict them, or score against a folder without them."
        )
    for name, frames in needed.items():
        if absent := [frame for frame in frames if frame not in predictions.get(name, {})]:
            raise DatasetError(
                f"'{pred / name}' has no mask for frame {_some(absent)}, but the truth has one. Frames are matched by "
                "their names without .png: rename the predictions or add the missing ones."
            )
    if extra := sorted(predictions.keys() - truths.keys()):
        logger.warning("not in the truth, ignored: %s", _some(extra))
    for name, files in truths.items():
        if extra := [frame for frame in predictions.get(name, {}) if frame not in files]:
            logger.warning("%s: frames without a truth, ignored: %s", name, _some(extra))
    return [_checked(name, files, predictions.get(name, {}), protocol) for name, files in truths.items()]


def _masks(root: Path) -> dict[str, dict[str, Path]]:
    """PNGs of each folder in ``root``, by frame."""
    return {
        folder.name: {file.stem: file for file in frame_files(folder) if file.suffix.lower() == ".png"}
        for folder in sorted(root.iterdir())
        if any(folder.glob("*.[pP][nN][gG]"))
    }


def _checked(name: str, truth: dict[str, Path], pred: dict[str, Path], protocol: Protocol) -> _Sequence:
    """A sequence whose masks have one size, and whose first predicted mask can be read."""
    sequence = _Sequence(name, truth, pred, frame_size(next(iter(truth.values()))), protocol)
    for frame in sequence.scored:
        for path, what in ((truth[frame], "first mask of the truth"), (pred[frame], "truth")):
            if (size := frame_size(path)) != sequence.size:
                sizes = f"{size[0]}x{size[1]} (height x width), the {what} {sequence.size[0]}x{sequence.size[1]}"
                raise DatasetError(f"The mask '{path}' is {sizes}. Resize it by nearest neighbour.")
    if sequence.scored:
        read_mask(pred[sequence.scored[0]])
    return sequence


def _appearances(sequence: _Sequence, pool: ThreadPoolExecutor) -> dict[int, str]:
    """The ids that are scored, and the first frame that shows each (the first of all for ids that DAVIS adds)."""
    starts: dict[int, str] = {}
    for frame, ids in zip(sequence.truth, pool.map(_ids, sequence.truth.values()), strict=True):
        for id_ in ids:
            starts.setdefault(id_, frame)
    if sequence.protocol == "youtube":
        return dict(sorted(starts.items()))
    highest = 1 if sequence.protocol == "davis16" and starts else max(starts, default=0)
    if highest > MAX_SLOTS:
        raise DatasetError(
            f"The truth of '{sequence.name}' has ids up to {highest}; DAVIS numbers objects from 1, up to {MAX_SLOTS}. "
            "Renumber them, or score with --protocol youtube."
        )
    first = next(iter(sequence.truth))
    return {id_: starts.get(id_, first) for id_ in range(1, highest + 1)}


def _ids(path: Path) -> list[int]:
    return present_ids(read_mask(path))


def _feed(
    metric: JAndF,
    sequence: _Sequence,
    starts: dict[int, str],
    groups: Mapping[int, str],
    pool: ThreadPoolExecutor,
    bar: "tqdm[Any]",
) -> None:
    """Hand a sequence to the metric, a few frames at a time."""
    frames, ids, stray = list(sequence.truth), list(starts), set[int]()
    about: dict[str, Any] = {"video": sequence.name, "ids": ids, "starts": list(starts.values())}
    about["groups"] = [groups.get(id_, "") for id_ in ids]
    # The metric leaves out the first frame, and of DAVIS the last one, so they are not read.
    unread = torch.zeros(1, 1, 1, dtype=torch.uint8)
    metric.update(unread, unread, frames=frames[:1], **about)
    for start in range(0, len(sequence.scored), SPAN):
        names = sequence.scored[start : start + SPAN]
        pred, truth = (
            list(pool.map(read_mask, (files[n] for n in names))) for files in (sequence.pred, sequence.truth)
        )
        if sequence.protocol == "davis16":
            pred, truth = ([(mask > 0).to(torch.uint8) for mask in masks] for masks in (pred, truth))
        stray.update(id_ for mask in pred for id_ in present_ids(mask) if id_ not in starts)
        slots = [torch.stack([slot_labels(mask, ids) for mask in masks]) for masks in (pred, truth)]
        metric.update(*slots, frames=names, **about)
        bar.update(len(names))
    if len(frames) > 1 + len(sequence.scored):
        metric.update(unread, unread, frames=frames[-1:], **about)
    if stray:
        logger.warning("%s: predicted objects %s are not in the truth; ignored", sequence.name, sorted(stray))


def _some(names: Sequence[str]) -> str:
    """A list for a message."""
    shown = ", ".join(f"'{name}'" for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def _check_writable(folder: Path) -> None:
    """Find out before the work whether results can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error
