"""Windows over time and space, in which cells attend to one another (Swin)."""

import functools
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

APART = -100.0
"""Added to the logit of two cells of a window that are no neighbours but for the roll: as good as minus infinity."""
INDEX = ("corner", "exact")


class Windows(NamedTuple):
    """How cells are cut into windows; build it with ``plan``. ``W`` windows have ``N`` cells, the last axis fastest."""

    size: tuple[int, int, int]
    """Frames, rows and columns of cells; padded at the ends to multiples of the window."""
    window: tuple[int, int, int]
    shift: tuple[int, int, int]
    """Cells by which everything is rolled towards the start before it is cut."""

    @classmethod
    def plan(cls, size: tuple[int, int, int], window: tuple[int, int, int], *, shifted: bool) -> "Windows":
        """Windows for cells of ``size``, shifted by half a window or not.

        An axis that a window covers as a whole has one window of its own length and no shift.
        """
        covered = [cells <= wanted for cells, wanted in zip(size, window, strict=True)]
        a, b, c = (min(cells, wanted) for cells, wanted in zip(size, window, strict=True))
        x, y, z = (wanted // 2 if shifted and not whole else 0 for wanted, whole in zip(window, covered, strict=True))
        return cls(size, (a, b, c), (x, y, z))

    @property
    def counts(self) -> tuple[int, int, int]:
        """Windows along each axis."""
        a, b, c = (-(-cells // window) for cells, window in zip(self.size, self.window, strict=True))
        return a, b, c

    def split(self, x: Float[Tensor, "B T h w C"]) -> Float[Tensor, "B W N C"]:
        """Pad with zeros, roll and cut."""
        (a, b, c), (i, j, k) = self.counts, self.window
        behind = [n * side - cells for n, side, cells in zip(self.counts, self.window, self.size, strict=True)]
        if any(behind):
            x = F.pad(x, (0, 0, 0, behind[2], 0, behind[1], 0, behind[0]))
        if any(self.shift):
            x = x.roll([-shift for shift in self.shift], (1, 2, 3))
        x = x.reshape(x.shape[0], a, i, b, j, c, k, -1)
        return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(x.shape[0], a * b * c, i * j * k, -1)

    def join(self, x: Float[Tensor, "B W N C"]) -> Float[Tensor, "B T h w C"]:
        """The inverse of ``split``."""
        (a, b, c), (i, j, k) = self.counts, self.window
        x = x.reshape(x.shape[0], a, b, c, i, j, k, -1).permute(0, 1, 4, 2, 5, 3, 6, 7)
        x = x.reshape(x.shape[0], a * i, b * j, c * k, -1)
        if any(self.shift):
            x = x.roll(self.shift, (1, 2, 3))
        frames, rows, columns = self.size
        return x[:, :frames, :rows, :columns]


# Few: that of 15 frames of 1080p takes 55 MB.
@functools.lru_cache(maxsize=4)
def separation(windows: Windows, device: torch.device, *, padding: bool) -> Float[Tensor, "W N N"] | None:
    """What is added to the logits of each pair of cells in a window; None if that is zero. Kept per size.

    Args:
        windows: How the cells are cut.
        device: Of the result.
        padding: Whether cells that only pad take part as any other.
    """
    lengths = [n * side for n, side in zip(windows.counts, windows.window, strict=True)]
    if not any(windows.shift) and (padding or tuple(lengths) == windows.size):
        return None
    region = torch.zeros(1, *lengths, 1)
    for axis, (length, side, shift) in enumerate(zip(lengths, windows.window, windows.shift, strict=True)):
        place = torch.arange(length)
        number = (place >= length - side).long() + (place >= length - shift) if shift else torch.zeros_like(place)
        region = 3 * region + number.reshape([-1 if i == axis + 1 else 1 for i in range(5)])
    # What was rolled lies at other places, so the regions are cut as they are.
    whole = Windows((lengths[0], lengths[1], lengths[2]), windows.window, (0, 0, 0))
    cells = whole.split(region)[0, :, :, 0]
    added = torch.where(cells[:, :, None] == cells[:, None], 0.0, APART)
    if not padding:
        real = windows.split(torch.ones(1, *windows.size, 1))[0, :, :, 0] > 0
        added = torch.where(real[:, None], added, APART)
    return added.to(device)


def relative_index(
    window: tuple[int, int, int], full: tuple[int, int, int], index: str, device: torch.device
) -> Integer[Tensor, "N N"]:
    """Row of the table of relative positions for each pair of cells of a window.

    The table has a row for each offset in time, row and column that the full window has, the last fastest.

    Args:
        window: Sides of the window, none longer than those of the full one.
        full: Sides of the window that the table is for.
        index: ``exact``, or ``corner``: the upper left corner of the full window's index, which takes cell ``n`` for
            the ``n``-th of the full window, also where the window is less high or wide (PCVOS, as released).
        device: Of the result.
    """
    (frames, rows, columns), (a, b, c) = full, window
    place = torch.arange(frames * rows * columns, device=device)
    place = place[: a * b * c] if index == "corner" else place.reshape(full)[:a, :b, :c].flatten()
    axes = ((place // (rows * columns), frames), (place // columns % rows, rows), (place % columns, columns))
    in_time, in_rows, in_columns = (at[:, None] - at + side - 1 for at, side in axes)
    return (in_time * (2 * rows - 1) + in_rows) * (2 * columns - 1) + in_columns
