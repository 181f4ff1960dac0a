"""The pictures of a report: the worst frames of each run, and whole videos frame by frame."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor
from tqdm import tqdm

from vosfw.cli.evaluated_videos import EvaluatedVideos, Shot
from vosfw.data.video import Video
from vosfw.errors import VosfwError
from vosfw.report.page import Card, Film, Films, Line, Notes, Plot, Section, Stills, Track, View
from vosfw.report.pictures import Size, entropy_layer, error_layer, frame_picture, mask_layer
from vosfw.types import VOID

APART = 5
"""Frames between two of the worst of one object."""
STILLS = 0.4
"""Share of the page's size that single frames may take."""


class Wanted(NamedTuple):
    """What to show."""

    frames: int
    """Worst frames of each run."""
    videos: int | Sequence[str]
    """Worst videos of each set, or names of videos."""
    width: int
    """Of a picture at most, in pixels."""
    most: int
    """Size of all pictures together at most, in bytes."""


class Worst(NamedTuple):
    """One object in one frame; J and F in 0..1."""

    score: float
    video: str
    place: int
    """Among the scored frames of its video."""
    object: str
    frame: str
    j: float
    f: float


def pictures(found: Sequence[EvaluatedVideos], wanted: Wanted, quiet: bool) -> list[Section]:
    """Sections of worst frames and of videos, no larger than wanted; what is left out is said."""
    notes: list[str] = []
    made: list[Section] = []
    with tqdm(desc="pictures", unit="frame", disable=quiet) as bar:
        stills, used = _stills(found, wanted, notes, bar)
        films = _films(found, wanted, wanted.most - used, notes, bar)
    if not all(each.has_entropy for each in found):
        notes.append("Maps of uncertainty are there of runs of evaluate.py with entropy=true.")
    made += stills
    if films:
        intro = "Play, or step with the arrow keys on the slider; the charts show each object over the whole video."
        made.append(Films("Videos", intro, films))
    if notes:
        made.append(Notes("Not shown", list(dict.fromkeys(notes))))
    return made


def expect(bar: Any, count: int) -> None:
    """Tell a progress bar of further work."""
    bar.total = (bar.total or 0) + count
    bar.refresh()


def worst(results: Mapping[str, Any], count: int) -> list[Worst]:
    """The frames in which objects were scored worst, the worst first.

    Each object comes with its worst frame first, the earliest of equals; only then with others, at least ``APART``
    scored frames away, so that a lost object does not fill the list.
    """
    every = []
    for video, sequence in results["sequences"].items():
        for key, found in sequence["objects"].items():
            values = list(zip(found.get("j_per_frame", ()), found.get("f_per_frame", ()), strict=True))
            begin = len(sequence.get("frames", ())) - len(values)
            for place, (j, f) in enumerate(values, begin):
                every.append(Worst((j + f) / 2, video, place, key, sequence["frames"][place], j, f))
    every.sort()
    picked: list[Worst] = []
    for first in (True, False):
        taken = {(each.video, each.object) for each in picked}
        for each in every:
            own = [other for other in picked if (other.video, other.object) == (each.video, each.object)]
            near = own if first else [other for other in own if abs(other.place - each.place) < APART]
            if len(picked) < count and not near and (first or taken):
                picked.append(each)
    return sorted(picked)


def _stills(found: Sequence[EvaluatedVideos], wanted: Wanted, notes: list[str], bar: Any) -> tuple[list[Section], int]:
    """A section per run, and the size of their pictures."""
    made: list[Section] = []
    used, each_most = 0, STILLS * wanted.most / max(len(found), 1)
    for videos in found:
        name, cards, own = videos.evaluation.name, list[Card](), 0
        chosen = worst(videos.evaluation.run.results, wanted.frames)
        expect(bar, len(chosen))
        for i, each in enumerate(chosen):
            try:
                video = videos.video(each.video)
                card = _card(videos, video, each, wanted.width)
            except VosfwError as error:
                notes.append(f"{name}, {each.video} {each.frame}: {error}")
                continue
            own += _weight([card.image, *(layer for view in card.views for layer in view.layers)])
            if own > each_most:
                notes.append(f"{name}: the {len(chosen) - i} less bad of {len(chosen)} frames, for the page's size")
                own = int(each_most)
                break
            cards.append(card)
            bar.update()
        used += own
        if cards:
            intro = f"Each object's worst frame first, then further frames at least {APART} scored frames apart. "
            intro += "Errors are those of the named object."
            title = "Worst frames" if len(found) == 1 else f"Worst frames: {name}"
            made.append(Stills(title, intro, cards))
    return made, used


def _card(videos: EvaluatedVideos, video: Video, each: Worst, width: int) -> Card:
    shot = videos.shot(video, video.frames.index(each.frame))
    size = Size.within(video.size, width)
    slot = 1 if videos.joined else video.ids.index(int(each.object)) + 1
    views = [
        View("truth", [_drawn(shot.truth, lambda x: mask_layer(x, size))]),
        View("prediction", [_drawn(shot.predicted, lambda x: mask_layer(x, size))]),
        View("error", [_error(_only(shot.predicted, slot), _only(shot.truth, slot), size)], "object_error"),
    ]
    if videos.has_entropy:
        views.append(View("uncertainty", [_drawn(shot.entropy, lambda x: entropy_layer(x, size))], "entropy"))
    title = f"{each.video} · frame {each.frame} · object {each.object}"
    facts = f"J&F {100 * each.score:.1f}, J {100 * each.j:.1f}, F {100 * each.f:.1f}"
    return Card(title, facts, frame_picture(shot.frame, size), views)


def _films(found: Sequence[EvaluatedVideos], wanted: Wanted, most: int, notes: list[str], bar: Any) -> list[Film]:
    """Videos of runs that saw the same frames, which share them."""
    groups: dict[str, list[EvaluatedVideos]] = {}
    for videos in found:
        key = json.dumps([videos.config, list(map(str, videos.evaluation.kind))], sort_keys=True, default=str)
        groups.setdefault(key, []).append(videos)
    plan = [(group, name) for group in groups.values() for name in _chosen(group, wanted.videos)]
    films: list[Film] = []
    for i, (group, name) in enumerate(plan):
        try:
            film = _film(group, name, wanted.width, most // (len(plan) - i), bar)
        except VosfwError as error:
            notes.append(f"{name}: {error}")
            continue
        if film is None:
            notes.append(f"video {name}: not even two frames fit into the page; allow more with --max-mb")
            continue
        layers = [layer for view in (*film.views, *(v for t in film.tracks for v in t.views)) for layer in view.layers]
        most -= _weight([*film.images, *layers])
        films.append(film)
    known = {name for videos in found for name in videos.evaluation.run.results["sequences"]}
    if not isinstance(wanted.videos, int):
        notes += [f"--videos {name}: no run has a video of that name" for name in wanted.videos if name not in known]
    return films


def _chosen(group: Sequence[EvaluatedVideos], videos: int | Sequence[str]) -> list[str]:
    results = [each.evaluation.run.results["sequences"] for each in group]
    if not isinstance(videos, int):
        return [name for name in videos if name in results[0]]
    means = {name: sum(one[name].get("j_and_f") or 0 for one in results) for name in results[0]}
    return sorted(means, key=lambda name: (means[name], name))[:videos]


def _film(group: Sequence[EvaluatedVideos], name: str, width: int, most: int, bar: Any) -> Film | None:
    """A video with all its runs, thinned out until it fits; None if it cannot."""
    video = group[0].video(name)
    size = Size.within(video.size, width)
    start = min(video.given, default=0)
    span = [t for t in range(start, len(video)) if video.wanted[t]]

    def pictured(t: int) -> list[str | None]:
        """Frame, truth, and of each run prediction, error, uncertainty."""
        shots: list[Shot] = [videos.shot(video, t) for videos in group]
        first = shots[0]
        made = [frame_picture(first.frame, size), _drawn(first.truth, lambda x: mask_layer(x, size))]
        for videos, shot in zip(group, shots, strict=True):
            made += [_drawn(shot.predicted, lambda x: mask_layer(x, size)), _error(shot.predicted, shot.truth, size)]
            made += [_drawn(shot.entropy, lambda x: entropy_layer(x, size))] if videos.has_entropy else []
        return made

    trial = sorted({span[0], span[len(span) // 2], span[-1]})
    heavy = max(_weight(pictured(t)) for t in trial)
    step = max(math.ceil(len(span) * heavy / max(most, 1)), 1)
    shown = span[::step]
    if len(shown) < 2 <= len(span):
        return None
    expect(bar, len(shown))
    rows = []
    for t in shown:
        rows.append(pictured(t))
        bar.update()
    columns = [list(column) for column in zip(*rows, strict=True)]
    images, truth = [str(image) for image in columns[0]], columns[1]
    rest = iter(columns[2:])
    tracks = [_track(videos, video, rest) for videos in group]
    note = f"Every {step}th frame is shown, for the page's size (--max-mb, --width)." if step > 1 else ""
    lowest = _lowest(tracks[0], shown)
    return Film(name, note, list(video.frames), shown, images, [View("truth", truth)], tracks, lowest)


def _track(videos: EvaluatedVideos, video: Video, layers: Iterator[list[str | None]]) -> Track:
    """A run's views and scores; takes its pictures from ``layers``."""
    views = [View("prediction", next(layers)), View("error", next(layers), "error")]
    if videos.has_entropy:
        views.append(View("uncertainty", next(layers), "entropy"))
    sequence = videos.evaluation.run.results["sequences"][video.name]
    places = {name: t for t, name in enumerate(video.frames)}
    plots = []
    for title in ("J", "F"):
        lines = []
        for key, found in sequence["objects"].items():
            values: list[float | None] = [None] * len(video)
            scores = found.get(f"{title.lower()}_per_frame", ())
            for frame, value in zip(
                sequence.get("frames", ())[len(sequence.get("frames", ())) - len(scores) :], scores, strict=True
            ):
                values[places[frame]] = 100 * value
            slot = 0 if videos.joined else video.ids.index(int(key))
            lines.append(Line(f"object {key}", values, slot))
        plots.append(Plot(title, lines, 100.0))
    return Track(videos.evaluation.name, views, plots)


def _lowest(track: Track, shown: Sequence[int]) -> int:
    """Which of the shown frames has the worst score of an object."""

    def least(t: int) -> float:
        values = [line.values[t] for plot in track.plots for line in plot.lines]
        return min((value for value in values if value is not None), default=math.inf)

    return min(range(len(shown)), key=lambda k: least(shown[k]))


def _only(labels: Tensor | None, slot: int) -> Tensor | None:
    """One object alone; unlabelled pixels stay."""
    return None if labels is None else ((labels == slot).to(labels.dtype)).masked_fill(labels == VOID, VOID)


def _error(predicted: Tensor | None, truth: Tensor | None, size: Size) -> str | None:
    return None if predicted is None or truth is None else error_layer(predicted, truth, size)


def _drawn(found: Any, draw: Callable[[Any], str]) -> str | None:
    return None if found is None else draw(found)


def _weight(parts: Sequence[str | None]) -> int:
    return sum(len(part) for part in parts if part is not None)
