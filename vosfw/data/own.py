"""Somebody's own annotated videos, shared out into training and validation."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from vosfw.data.dataset import VideoDataset
from vosfw.data.davis import DavisDataset
from vosfw.data.folder import FolderDataset
from vosfw.data.index import data_root, list_files, mask_pictures, read_list, select_videos
from vosfw.data.places import Layout, find_sources, guess_layout
from vosfw.data.sampler import process
from vosfw.data.span import SpanDataset
from vosfw.data.youtube_vos import YouTubeVOSDataset
from vosfw.errors import ConfigError, DatasetError

logger = logging.getLogger(__name__)

LEAST = 2
"""Masks that a video needs: one is given, one is learnt from or scored."""
FEW = 3
"""Videos from which on whole ones are held out."""


class Split(NamedTuple):
    """Which videos are trained on, and which are validated on."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    why: str
    cut: bool = False
    """Both are the same videos, of which validation has the end and training the rest."""


def own_videos(
    root: Path | str | None,
    part: Literal["train", "val"],
    *,
    train_split: str | Sequence[str] | None = None,
    val_split: str | Sequence[str] | None = None,
    hold_out: float | int = 0.2,
    split_seed: int = 0,
    layout: Layout | None = None,
    resize_masks: bool = False,
) -> VideoDataset:
    """Videos to train on, or to validate on, of a folder in any layout.

    Who is what: ``train_split`` and ``val_split`` if they are given; else the lists train.txt and val.txt, and if there
    is one of them alone the other part is the rest; else a share of whole videos, drawn by a seed, is held out. With
    fewer than 3 videos there is none to spare: the last share of the masks of each is held out instead, and the frames
    from there on are not trained on. With ``hold_out=0`` the training videos are validated on. Videos with fewer than 2
    masks teach and tell nothing and are left out.

    Args:
        root: Folder that holds ``frames`` and ``masks``, or DAVIS's or YouTube-VOS's folders.
        part: Which part.
        train_split: A list, a video, several videos, or ``all``.
        val_split: Likewise.
        hold_out: Share of the videos, or of the masks of few videos, in [0, 1).
        split_seed: Of the draw; not the run's seed, so that runs of several seeds can be compared.
        layout: ``folder``, ``davis`` or ``youtube``; found out if not given.
        resize_masks: Resize masks of another size than their frame, instead of refusing them.

    Raises:
        ConfigError: If ``root`` is not set or ``hold_out`` out of range.
        DatasetError: If files are missing or do not fit together, or there are too few masks.
    """
    if not 0 <= hold_out < 1:
        raise ConfigError(f"hold_out is {hold_out}; wanted a share in [0, 1)")
    root = data_root(root)
    layout = guess_layout(root) if layout is None else layout
    present, usable, lists = _found(root, layout)
    split = choose_split(present, usable, lists, train_split, val_split, hold_out, split_seed)
    names = split.train if part == "train" else split.val
    dataset = _open(root, layout, names, resize_masks=resize_masks)
    if part == "train" and process()[0] == 0:
        logger.info("training on %s; validation on %s (%s)", _told(split.train), _told(split.val), split.why)
    if not split.cut:
        return dataset
    return SpanDataset(dataset, [_span(*video, hold_out, part) for video in _videos(dataset)])


def choose_split(
    present: Sequence[str],
    usable: Sequence[str],
    lists: Mapping[str, Path],
    train: str | Sequence[str] | None,
    val: str | Sequence[str] | None,
    hold_out: float | int,
    seed: int,
) -> Split:
    """See ``own_videos``.

    Args:
        present: All videos.
        usable: Those with enough masks.
        lists: List files by name.
        train: Chosen by the user, or None.
        val: Chosen by the user, or None.
        hold_out: Share to hold out.
        seed: Of the draw.

    Raises:
        DatasetError: If a video or list is unknown, or a part is left without a video.
    """
    why = "as data.train_split and data.val_split say"
    if train is None and val is None:
        train, val = ("train" if "train" in lists else None), ("val" if "val" in lists else None)
        why = "as train.txt and val.txt say"
    if train is not None or val is not None:
        chosen = {
            name: [video for video in select_videos(wanted, lists, present, usable) if video in set(usable)]
            for name, wanted in (("train", train), ("val", val))
            if wanted is not None
        }
        if len(chosen) == 1:
            (known,) = chosen.values()
            rest = [video for video in usable if video not in set(known)]
            why += ", the other videos are the other part"
            chosen = {"train": chosen.get("train", rest), "val": chosen.get("val", rest)}
        for name, videos in chosen.items():
            if not videos:
                raise DatasetError(
                    f"no video with {LEAST} masks or more is left for {name} ({why}). Correct train.txt and val.txt, "
                    f"data.train_split and data.val_split, or annotate more frames."
                )
        if set(chosen["train"]) & set(chosen["val"]) and process()[0] == 0:
            both = sorted(set(chosen["train"]) & set(chosen["val"]))
            logger.warning("validated on and trained on, so scores of these say little: %s", _told(both))
        return Split(tuple(chosen["train"]), tuple(chosen["val"]), why)
    if not usable:
        raise DatasetError(
            f"none of {len(present)} videos has {LEAST} masks or more: one is given, another one is learnt from. "
            "Annotate more frames of a video."
        )
    if not hold_out:
        why = "hold_out=0: the scores are on what is trained on and say nothing of other videos"
        return Split(tuple(usable), tuple(usable), why)
    if len(usable) < FEW:
        why = f"fewer than {FEW} videos: the last {hold_out:.0%} of each one's masks are held out"
        return Split(tuple(usable), tuple(usable), why, cut=True)
    count = min(max(1, round(hold_out * len(usable))), len(usable) - 1)
    held = set(np.random.default_rng(seed).permutation(len(usable))[:count].tolist())
    kept, spared = (tuple(video for i, video in enumerate(usable) if (i in held) == out) for out in (False, True))
    return Split(kept, spared, f"no lists: {count} of {len(usable)} videos held out, split_seed={seed}")


def _found(root: Path, layout: Layout) -> tuple[list[str], list[str], dict[str, Path]]:
    """All videos, those with enough masks, and lists."""
    homes = {"folder": [root], "davis": [root / "ImageSets" / "2017"], "youtube": [root, root / "train"]}[layout]
    lists = {name: path for home in homes for name, path in list_files(home).items()}
    prefix = "train/" if layout == "youtube" and (root / "train").is_dir() else ""
    sources = [
        (source.name.removeprefix(prefix), source)
        for source in find_sources(root, layout, [])
        if source.name.startswith(prefix) and (layout != "davis" or source.frames.parent.name == "480p")
    ]
    listed = set(
        read_list(lists["split"]) if layout == "folder" and "split" in lists else (name for name, _ in sources)
    )
    usable = [name for name, source in sources if name in listed and len(mask_pictures(source.masks)) >= LEAST]
    short = [name for name, _ in sources if name not in set(usable)]
    if short and process()[0] == 0:
        logger.info("fewer than %d masks, not used: %s", LEAST, _told(short))
    return [name for name, _ in sources], usable, lists


def _open(root: Path, layout: Layout, names: Sequence[str], *, resize_masks: bool) -> VideoDataset:
    openers: dict[str, Callable[[], VideoDataset]] = {
        "folder": lambda: FolderDataset(root, names, resize_masks=resize_masks),
        "davis": lambda: DavisDataset(root, names, resize_masks=resize_masks),
        "youtube": lambda: YouTubeVOSDataset(
            root, "train" if (root / "train").is_dir() else "all", names, resize_masks=resize_masks
        ),
    }
    return openers[layout]()


def _videos(dataset: VideoDataset) -> list[tuple[str, int, Sequence[int]]]:
    return list(zip(dataset.videos, dataset.lengths, dataset.annotated, strict=True))


def _span(name: str, length: int, annotated: Sequence[int], hold_out: float | int, part: str) -> tuple[int, int]:
    """The frames of a video that are trained on, or held out: from the first mask that is held out on."""
    if len(annotated) < 2 * LEAST:
        raise DatasetError(
            f"'{name}' has {len(annotated)} masks; to train and to validate on a video it takes {2 * LEAST}. Annotate "
            f"more frames, or {FEW} videos, or set data.train.parts.own.hold_out=0 to validate on what is trained on."
        )
    count = min(max(round(hold_out * len(annotated)), LEAST), len(annotated) - LEAST)
    cut = annotated[-count]
    return (0, cut) if part == "train" else (cut, length)


def _told(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return f"{len(names)} video{'s' if len(names) != 1 else ''} ({shown})"
