"""Whole videos frame by frame, with all runs that saw the same frames."""

import json
import math
from collections.abc import Sequence
from typing import Any

from vosfw.cli.evaluated_videos import EvaluatedVideos
from vosfw.cli.report_frames import Layers, Wanted, expect, layers, weight
from vosfw.errors import VosfwError
from vosfw.report.pictures import Size, frame_picture
from vosfw.report.sections import Film, Films, Line, Plot, Section, Track, View


def films(found: Sequence[EvaluatedVideos], wanted: Wanted, most: int, notes: list[str], bar: Any) -> list[Section]:
    """The section, if there is anything to show; what is left out is noted.

    Args:
        found: Runs.
        wanted: Which videos.
        most: Size of all pictures at most, in bytes: of long videos not every frame is shown.
        notes: Of what is left out.
        bar: Of progress.
    """
    groups: dict[str, list[EvaluatedVideos]] = {}
    for videos in found:
        key = json.dumps([videos.config, list(map(str, videos.evaluation.kind))], sort_keys=True, default=str)
        groups.setdefault(key, []).append(videos)
    reels = []
    for group in groups.values():
        for name in _chosen(group, wanted.videos):
            try:
                reels.append(_Reel(group, name, wanted.width))
            except VosfwError as error:
                notes.append(f"video {name}: {error}")
    shares = _shared([reel.heavy for reel in reels], most)
    steps = [max(math.ceil(reel.heavy / max(share, 1)), 1) for reel, share in zip(reels, shares, strict=True)]
    expect(bar, sum(len(reel.span[::step]) for reel, step in zip(reels, steps, strict=True)))
    made = []
    for reel, step in zip(reels, steps, strict=True):
        if len(reel.span[::step]) < 2 <= len(reel.span):
            notes.append(f"video {reel.name}: not even two frames fit into the page; allow more with --max-mb")
            continue
        try:
            made.append(reel.film(step, bar))
        except VosfwError as error:
            notes.append(f"video {reel.name}: {error}")
    known = {name for videos in found for name in videos.evaluation.run.results["sequences"]}
    if not isinstance(wanted.videos, int):
        notes += [f"--videos {name}: no run has a video of that name" for name in wanted.videos if name not in known]
    intro = "Play, or step with the arrow keys on the slider. The charts show each object over the whole video."
    return [Films("Videos", intro, made)] if made else []


def _chosen(group: Sequence[EvaluatedVideos], videos: int | Sequence[str]) -> list[str]:
    """Names of videos: the worst by the mean over runs, or those that were asked for."""
    results = [each.evaluation.run.results["sequences"] for each in group]
    if not isinstance(videos, int):
        return [name for name in videos if name in results[0]]
    totals = {name: sum(one[name].get("j_and_f") or 0 for one in results) for name in results[0]}
    return sorted(totals, key=lambda name: (totals[name], name))[:videos]


def _shared(sizes: Sequence[int], most: int) -> list[int]:
    """What each may have of ``most``: all it needs, or as much as others that need more."""
    shares = [0] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda i: sizes[i])
    for k, i in enumerate(order):
        shares[i] = min(sizes[i], most // (len(order) - k))
        most -= shares[i]
    return shares


class _Reel:
    """A video with the runs that were evaluated on it."""

    def __init__(self, group: Sequence[EvaluatedVideos], name: str, width: int) -> None:
        self.group, self.name = group, name
        self.video = video = group[0].video(name)
        self.size = Size.within(video.size, width)
        # Nothing was predicted before the first mask, nor where nobody asked.
        self.span = [t for t in range(min(video.given, default=0), len(video)) if video.wanted[t]]
        trial = sorted({self.span[0], self.span[len(self.span) // 2], self.span[-1]})
        shots = [self.pictures(t) for t in trial]
        self.heavy = len(self.span) * max(weight([image, *sum(found, ())]) for image, found in shots)
        """Size of all its pictures, in bytes, or somewhat more."""

    def pictures(self, t: int) -> tuple[str, list[Layers]]:
        """A frame, and its layers by run; the truth is that of all."""
        shots = [videos.shot(self.video, t) for videos in self.group]
        found = [layers(shot, self.size, with_truth=i == 0) for i, shot in enumerate(shots)]
        return frame_picture(shots[0].frame, self.size), found

    def film(self, step: int, bar: Any) -> Film:
        """Every ``step``-th frame."""
        shown, images, drawn = self.span[::step], list[str](), list[list[Layers]]()
        for t in shown:
            image, found = self.pictures(t)
            images.append(image)
            drawn.append(found)
            bar.update()
        tracks = []
        for i, videos in enumerate(self.group):
            views = [View("prediction", [each[i].prediction for each in drawn])]
            views.append(View("error", [each[i].error for each in drawn], "error"))
            if videos.has_entropy:
                views.append(View("uncertainty", [each[i].entropy for each in drawn], "entropy"))
            tracks.append(Track(videos.evaluation.name, views, self._plots(videos)))
        note = f"One frame in {step} is shown, for the size of the page (--max-mb, --width)." if step > 1 else ""
        truth = View("truth", [each[0].truth for each in drawn])
        start = _lowest(tracks[0], shown)
        return Film(self.name, note, list(self.video.frames), shown, images, [truth], tracks, start)

    def _plots(self, videos: EvaluatedVideos) -> list[Plot]:
        """J and F of each object over all frames, in percent."""
        sequence = videos.evaluation.run.results["sequences"][self.name]
        frames = sequence.get("frames", ())
        numbers = {name: t for t, name in enumerate(self.video.frames)}
        plots = []
        for title in ("J", "F"):
            lines = []
            for key, found in sequence["objects"].items():
                values: list[float | None] = [None] * len(self.video)
                scores = found.get(f"{title.lower()}_per_frame", ())
                for frame, value in zip(frames[len(frames) - len(scores) :], scores, strict=True):
                    values[numbers[frame]] = 100 * value
                lines.append(Line(f"object {key}", values, videos.slot(self.video, key)))
            plots.append(Plot(title, lines, 100.0))
        return plots


def _lowest(track: Track, shown: Sequence[int]) -> int:
    """Which of the shown frames has the worst score of an object."""

    def least(t: int) -> float:
        values = [line.values[t] for plot in track.plots for line in plot.lines]
        return min((value for value in values if value is not None), default=math.inf)

    return min(range(len(shown)), key=lambda k: least(shown[k]))
