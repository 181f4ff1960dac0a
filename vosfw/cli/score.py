"""``vosfw score``: J and F of predicted masks, of any tool, against the truth."""

import argparse
import logging
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from tqdm import tqdm

from vosfw.data.files import cannot_write, replacing
from vosfw.data.index import frame_files
from vosfw.data.io import frame_size, read_mask
from vosfw.errors import DatasetError
from vosfw.metrics import JAndF, JAndFResult, to_csv, to_json, to_text
from vosfw.metrics.j_and_f import Protocol
from vosfw.types import VOID

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
        help="davis17 scores every object; davis16 joins the objects of a sequence to one (default: %(default)s)",
    )
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
    result = score(options.pred, options.gt, options.protocol, progress=not options.quiet)
    for name, text in (("results.csv", to_csv(result)), ("results.json", to_json(result))):
        with replacing(out / name) as draft:
            draft.write_text(text, encoding="utf-8")
    print(to_text(result), end="")
    print(f"written: {out / 'results.csv'}, {out / 'results.json'}")
    return 0


def score(pred: Path, gt: Path, protocol: Protocol = "davis17", progress: bool = False) -> JAndFResult:
    """Compare folders of masks, ``<sequence>/<frame>.png`` on both sides.

    Every object of the truth is scored, ids 1 to the highest one, in every frame that has a truth but the first and
    the last of each sequence. Predictions of these two are not needed; others that are not needed are logged.

    Args:
        pred: Predictions.
        gt: Truth.
        protocol: See ``JAndF``.
        progress: Show a progress bar.

    Raises:
        DatasetError: If a mask is missing, damaged, coloured or of another size than its truth.
    """
    sequences = _sequences(pred, gt)
    metric = JAndF(protocol)
    total = sum(len(each.scored) for each in sequences)
    with ThreadPoolExecutor() as pool:
        checked = tqdm(sequences, "checking", unit="sequence", disable=not progress)
        highest = [_highest_id(each, protocol, pool) for each in checked]
        with tqdm(total=total, desc="scoring", unit="frame", disable=not progress) as bar:
            for sequence, ids in zip(sequences, highest, strict=True):
                _feed(metric, sequence, ids, pool, bar)
    return metric.compute()


class _Sequence(NamedTuple):
    """The files of one sequence."""

    name: str
    truth: dict[str, Path]
    """By frame, in time order."""
    pred: dict[str, Path]
    size: tuple[int, int]

    @property
    def scored(self) -> list[str]:
        """Frames that count."""
        return list(self.truth)[1:-1]


def _sequences(pred: Path, gt: Path) -> list[_Sequence]:
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
    needed = {name: list(files)[1:-1] for name, files in truths.items()}
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
    return [_checked(name, files, predictions.get(name, {})) for name, files in truths.items()]


def _masks(root: Path) -> dict[str, dict[str, Path]]:
    """PNGs of each folder in ``root``, by frame."""
    return {
        folder.name: {file.stem: file for file in frame_files(folder) if file.suffix.lower() == ".png"}
        for folder in sorted(root.iterdir())
        if any(folder.glob("*.[pP][nN][gG]"))
    }


def _checked(name: str, truth: dict[str, Path], pred: dict[str, Path]) -> _Sequence:
    """A sequence whose masks have one size, and whose first predicted mask can be read."""
    sequence = _Sequence(name, truth, pred, frame_size(next(iter(truth.values()))))
    for frame in sequence.scored:
        for path, what in ((truth[frame], "first mask of the truth"), (pred[frame], "truth")):
            if (size := frame_size(path)) != sequence.size:
                sizes = f"{size[0]}x{size[1]} (height x width), the {what} {sequence.size[0]}x{sequence.size[1]}"
                raise DatasetError(f"The mask '{path}' is {sizes}. Resize it by nearest neighbour.")
    if sequence.scored:
        read_mask(pred[sequence.scored[0]])
    return sequence


def _highest_id(sequence: _Sequence, protocol: Protocol, pool: ThreadPoolExecutor) -> int:
    """The largest object id in the truth; 0 if there is no object."""

    def highest(path: Path) -> int:
        mask = read_mask(path)
        return int((mask > 0).any() if protocol == "davis16" else mask.masked_fill(mask == VOID, 0).max())

    return max(pool.map(highest, sequence.truth.values()))


def _feed(metric: JAndF, sequence: _Sequence, ids: int, pool: ThreadPoolExecutor, bar: "tqdm[Any]") -> None:
    """Hand a sequence to the metric, a few frames at a time."""
    frames, known, stray = list(sequence.truth), range(1, ids + 1), set()
    # The metric leaves out the first and last frame, so they are not read.
    unread = torch.zeros(1, 1, 1, dtype=torch.uint8)
    metric.update(unread, unread, video=sequence.name, ids=known, frames=frames[:1])
    for start in range(1, len(frames) - 1, SPAN):
        names = frames[start : min(start + SPAN, len(frames) - 1)]
        paths = [files[name] for files in (sequence.pred, sequence.truth) for name in names]
        pred, truth = torch.stack(list(pool.map(read_mask, paths))).unflatten(0, (2, -1))
        if metric.protocol == "davis16":
            pred, truth = (pred > 0).to(torch.uint8), (truth > 0).to(torch.uint8)
        stray.update(pred[(pred > ids) & (pred != VOID)].unique().tolist())
        metric.update(pred, truth, video=sequence.name, ids=known, frames=names)
        bar.update(len(names))
    if len(frames) > 1:
        metric.update(unread, unread, video=sequence.name, ids=known, frames=frames[-1:])
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
