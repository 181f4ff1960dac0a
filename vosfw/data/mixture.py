"""Several data sets as one."""

from collections.abc import Callable, Mapping, Sequence

from vosfw.data.dataset import ClipRequest, Sample, VideoDataset
from vosfw.data.video import Video
from vosfw.errors import ConfigError


class MixtureDataset(VideoDataset):
    """Videos of several data sets, in fixed proportions: an epoch draws from the smaller ones more than once.

    STCN's main stage repeats DAVIS five times beside YouTube-VOS; others mix them two to one.

    Args:
        parts: Data sets, or functions that make them.
        ratios: Share of each, relative to the others. The part that fills its share best with its own number of videos
            is taken once, the others as often as that needs. A part with 0 is not opened. None takes every video of
            every part once.
        repeats: How often each part is taken, in place of ``ratios``; once if not named.

    Raises:
        ConfigError: If a name is unknown, a share negative, all are 0, or both ``ratios`` and ``repeats`` are given.
    """

    def __init__(
        self,
        parts: Mapping[str, VideoDataset | Callable[[], VideoDataset]],
        ratios: Mapping[str, float | int] | None = None,
        repeats: Mapping[str, int] | None = None,
    ) -> None:
        given = {**(ratios or {}), **(repeats or {})}
        wrong = not set(given) <= set(parts) or any(n < 0 for n in given.values())
        if wrong or (ratios and repeats) or not any(given.get(name, 1) for name in parts):
            raise ConfigError(
                f"a mixture of {', '.join(parts) or 'nothing'} with ratios {dict(ratios or {})} and repeats "
                f"{dict(repeats or {})}; wanted ratios of all parts or repeats of some, none negative, of known names"
            )
        if ratios and set(ratios) != set(parts):
            raise ConfigError(f"ratios name {', '.join(ratios)}; wanted one for each of {', '.join(parts)}")
        parts = {name: part for name, part in parts.items() if given.get(name, 1) > 0}
        self.parts = {name: part if isinstance(part, VideoDataset) else part() for name, part in parts.items()}
        counts = {name: len(part) * int((repeats or {}).get(name, 1)) for name, part in self.parts.items()}
        if ratios:
            unit = max(len(part) / ratios[name] for name, part in self.parts.items())
            counts = {name: round(unit * ratios[name]) for name in self.parts}
        self._places = [(part, i % len(part)) for name, part in self.parts.items() for i in range(counts[name])]
        super().__init__([part.videos[i] for part, i in self._places])

    @property
    def lengths(self) -> list[int]:
        """Number of frames of each video."""
        known = {part: part.lengths for part in self.parts.values()}
        return [known[part][i] for part, i in self._places]

    @property
    def annotated(self) -> list[Sequence[int]]:
        """Indices of the annotated frames of each video."""
        known = {part: part.annotated for part in self.parts.values()}
        return [known[part][i] for part, i in self._places]

    def video(self, index: int) -> Video:
        """A lazy view of one video."""
        part, i = self._places[index]
        return part.video(i)

    def __getitem__(self, request: ClipRequest) -> Sample:
        """The clip a sampler asks for."""
        part, i = self._places[request.video]
        return part[request._replace(video=i)]
