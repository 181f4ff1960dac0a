"""The worst frames of each run."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vosfw.cli.evaluated_videos import EvaluatedVideos
from vosfw.cli.report_frames import Wanted, expect, layers, weight
from vosfw.errors import VosfwError
from vosfw.report.pictures import Size, frame_picture
from vosfw.report.sections import Card, Pile, Section, Stills, View

APART = 5
"""Scored frames between two of the worst of one object."""
SHARE = 0.4
"""Of the page's size that stills may take."""


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


def worst(results: Mapping[str, Any], count: int) -> list[Worst]:
    """The frames in which objects were scored worst, the worst first.

    Each object comes with its worst frame first, the earliest of equals; only then with others, at least ``APART``
    scored frames away from those, so that a lost object does not fill the list.
    """
    every = []
    for video, sequence in results["sequences"].items():
        for key, found in sequence["objects"].items():
            values = list(zip(found.get("j_per_frame", ()), found.get("f_per_frame", ()), strict=True))
            begin = len(sequence.get("frames", ())) - len(values)
            for place, (j, f) in enumerate(values, begin):
                every.append(Worst((j + f) / 2, video, place, key, sequence["frames"][place], j, f))
    every.sort()
    places: dict[tuple[str, str], list[int]] = {}
    picked: list[Worst] = []
    for apart in (float("inf"), APART):
        for each in every:
            own = places.setdefault((each.video, each.object), [])
            if len(picked) < count and all(abs(each.place - place) >= apart for place in own):
                own.append(each.place)
                picked.append(each)
    return sorted(picked)


def stills(found: Sequence[EvaluatedVideos], wanted: Wanted, notes: list[str], bar: Any) -> tuple[list[Section], int]:
    """The section, if there is anything to show, and the size of its pictures; what is left out is noted."""
    piles: list[Pile] = []
    used, most = 0, SHARE * wanted.most / max(len(found), 1)
    for videos in found:
        name, cards, own = videos.evaluation.name, list[Card](), 0
        chosen = worst(videos.evaluation.run.results, wanted.frames)
        expect(bar, len(chosen))
        for i, each in enumerate(chosen):
            bar.update()
            try:
                card = _card(videos, each, wanted.width)
            except VosfwError as error:
                notes.append(f"{name}, {each.video} {each.frame}: {error}")
                continue
            heavy = weight([card.image, *(layer for view in card.views for layer in view.layers)])
            if own + heavy > most:
                notes.append(f"{name}: {len(chosen) - i} of its {len(chosen)} worst frames, for the size of the page")
                bar.update(len(chosen) - i - 1)
                break
            own += heavy
            cards.append(card)
        used += own
        if cards:
            piles.append(Pile(name, cards))
    intro = f"Each object's worst frame first, then further frames at least {APART} scored frames apart. "
    intro += "Errors are those of the object that is named."
    return [Stills("Worst frames", intro, piles)] if piles else [], used


def _card(videos: EvaluatedVideos, each: Worst, width: int) -> Card:
    video = videos.video(each.video)
    shot = videos.shot(video, video.frames.index(each.frame))
    size = Size.within(video.size, width)
    slot = videos.slot(video, each.object)
    found = layers(shot, size, slot + 1)
    views = [
        View("truth", [found.truth]),
        View("prediction", [found.prediction]),
        View("error", [found.error], "object_error"),
    ]
    if videos.has_entropy:
        views.append(View("uncertainty", [found.entropy], "entropy"))
    title = f"{each.video} · frame {each.frame} · object {each.object}"
    facts = f"J&F {100 * each.score:.1f}, J {100 * each.j:.1f}, F {100 * each.f:.1f}"
    return Card(title, facts, slot, frame_picture(shot.frame, size), views)
