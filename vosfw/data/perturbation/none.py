"""No perturbation."""

from vosfw.data.perturbation.base import Perturbation
from vosfw.data.video import Video


class NoPerturbation(Perturbation):
    """Videos as they are."""

    def apply(self, video: Video) -> Video:
        """The same video."""
        return video
