"""Clips of moving squares for the tests: cheap, deterministic, of any size."""

import torch
from torch import Tensor

from vosfw.types import VOID, Clip, ClipMeta


def squares(frames: int, objects: int, size: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Frames [T, 3, Y, X] in 0..1 and labels [T, Y, X] of coloured squares that drift over noise."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    images = 0.3 * torch.rand(1, 3, height, width, generator=generator).repeat(frames, 1, 1, 1)
    labels = torch.zeros(frames, height, width, dtype=torch.uint8)
    side = max(min(size) // 4, 2)
    for slot in range(objects):
        color = torch.rand(3, generator=generator)
        y = int(torch.randint(0, height - side, (), generator=generator))
        x = (slot * width) // max(objects, 1)
        for t in range(frames):
            left = min(x + t, width - side)
            images[t, :, y : y + side, left : left + side] = color[:, None, None]
            labels[t, y : y + side, left : left + side] = slot + 1
    return images, labels


def make_clip(
    batch: int = 2, frames: int = 3, slots: int = 2, size: tuple[int, int] = (32, 40), padding: int = 0, seed: int = 0
) -> Clip:
    """A training batch whose objects are all given in frame 0, with unused slots at the end."""
    pairs = [squares(frames, slots, size, seed + i) for i in range(batch)]
    valid = torch.zeros(batch, slots + padding, dtype=torch.bool)
    valid[:, :slots] = True
    given = torch.zeros(batch, frames, slots + padding, dtype=torch.bool)
    given[:, 0, :slots] = True
    names = tuple(f"{t:05d}" for t in range(frames))
    meta = tuple(ClipMeta(f"clip{i}", names, tuple(range(1, slots + 1)), size, seed + i) for i in range(batch))
    labels = torch.stack([pair[1] for pair in pairs])
    return Clip(
        torch.stack([pair[0] for pair in pairs]),
        labels,
        given,
        valid,
        torch.ones(batch, frames, dtype=torch.bool),
        meta,
    )


class ToyVideo:
    """A video in memory that offers what the engine reads: some objects join later."""

    def __init__(
        self,
        frames: int = 10,
        objects: int = 2,
        size: tuple[int, int] = (32, 40),
        late: dict[int, int] | None = None,
        seed: int = 0,
    ) -> None:
        images, self.labels = squares(frames, objects, size, seed)
        self.images = (images * 255).to(torch.uint8)
        self.size = size
        late = late or {}
        starts = {slot: late.get(slot, 0) for slot in range(objects)}
        self.given: dict[int, tuple[int, ...]] = {}
        for slot, t in starts.items():
            self.given[t] = (*self.given.get(t, ()), slot)
        self.wanted = (True,) * frames
        self.ids = tuple(range(1, objects + 1))

    def __len__(self) -> int:
        return len(self.images)

    def frame(self, index: int) -> Tensor:
        return self.images[index]

    def given_mask(self, index: int) -> Tensor:
        slots = torch.tensor(self.given[index], dtype=torch.uint8) + 1
        labels = self.labels[index]
        return torch.where(torch.isin(labels, slots) | (labels == VOID), labels, 0)
