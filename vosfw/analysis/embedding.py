"""What modulators do to the objects' embeddings (RPCM, figure 5a)."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vosfw.analysis.picture import contact_sheet
from vosfw.analysis.watch import labelled_steps, own_mask, require_some, watching
from vosfw.engine.engine import Engine, VideoSource
from vosfw.errors import ConfigError
from vosfw.interfaces import Modulator, Segmenter
from vosfw.model.modulator.block import ModulatorBlock

COLOURS = 3
SPREAD = 2.5
"""Standard deviations around the mean that the colours cover."""


class EmbeddingPCA(NamedTuple):
    """One frame; background first, then the objects that are in use."""

    frame: int
    """Index in the video."""
    labels: UInt8[Tensor, "Y X"]
    """As published: slot + 1, 0 background."""
    classes: tuple[int, ...]
    """Label of each row of the maps: 0 for the background, slot + 1."""
    stages: tuple[str, ...]
    """``input``, then the modulator's blocks in the order of their computation."""
    maps: tuple[Float[Tensor, "O 3 _h _w"], ...]
    """Of each stage: the first three principal components as red, green, blue in 0..1."""
    explained: Float[Tensor, "S 3"]
    """Share of each stage's variance that each component explains, over all frames."""


class _Record(NamedTuple):
    frame: int
    labels: Tensor
    classes: tuple[int, ...]
    maps: tuple[Tensor, ...]


class _Watch:
    """Holds the maps of the frame segmented last, of the classes in use."""

    def __init__(self, modulator: nn.Module, blocks: dict[str, ModulatorBlock]) -> None:
        self.names: list[str] = []
        self.maps: list[Tensor] = []
        self._valid = torch.ones(0, dtype=torch.bool)
        self.handles = [modulator.register_forward_pre_hook(self._enter)]
        self.handles += [block.register_forward_hook(partial(self._leave, name)) for name, block in blocks.items()]

    @property
    def classes(self) -> tuple[int, ...]:
        """Labels of the classes in use."""
        return tuple(self._valid.nonzero().flatten().tolist())

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        x, _, valid = inputs[:3]
        self._valid = valid[0]
        self.names, self.maps = ["input"], [x[0, self._valid]]

    def _leave(self, name: str, module: nn.Module, inputs: tuple[Any, ...], result: Tensor) -> None:
        self.names.append(name)
        self.maps.append(result[0, self._valid])


@torch.no_grad()
def embedding_pca(
    network: Segmenter[Any],
    video: VideoSource,
    engine: Engine | None = None,
    *,
    frames: Collection[int],
    device: torch.device | str = "cpu",
) -> list[EmbeddingPCA]:
    """Principal components of the objects' maps before the modulator and behind each of its blocks.

    Each stage has axes of its own, over the cells of all objects and all ``frames``, so a colour means the same in all
    its maps, but not in those of another stage. The result is the same in every run.

    Args:
        network: A matching network with modulators, such as ``vosfw.load`` returns.
        video: Such as ``DavisDataset(root, "blackswan").video(0)``.
        engine: None takes the one that came with the network. Test-time augmentation is left out.
        frames: Indices of the frames; their maps are held in memory. Frames that are not predicted have none.
        device: Where to compute.

    Raises:
        ConfigError: If the network has no modulator with blocks, or none of the frames is predicted.
    """
    modulator, blocks = _find(network)
    records: list[_Record] = []
    watch = _Watch(modulator, blocks)
    with watching(*watch.handles):
        for step, labels in labelled_steps(network, video, engine, frames, device):
            if step.predicted:
                records.append(_Record(step.frame, labels, watch.classes, tuple(watch.maps)))
    require_some(records, "embedding_pca", frames)
    colours, explained = zip(*(_project([r.maps[s] for r in records]) for s in range(len(watch.names))), strict=True)
    shares = torch.stack(explained)
    return [
        EmbeddingPCA(r.frame, r.labels, r.classes, tuple(watch.names), tuple(m[i] for m in colours), shares)
        for i, r in enumerate(records)
    ]


def draw_embeddings(
    video: VideoSource, results: Sequence[EmbeddingPCA], *, height: int = 160
) -> UInt8[Tensor, "3 Y X"]:
    """A contact sheet: a row per frame and class (background first), with its mask over the frame, then the stages.

    Args:
        video: The frames.
        results: Of ``embedding_pca``.
        height: Of a tile, in pixels.
    """
    tiles: list[Tensor] = []
    for item in results:
        for row, label in enumerate(item.classes):
            tiles.append(own_mask(video, item.frame, item.labels, label))
            tiles += [(255 * maps[row].cpu()).round().to(torch.uint8) for maps in item.maps]
    return contact_sheet(tiles, 1 + len(results[0].stages) if results else 1, height)


def _find(network: nn.Module) -> tuple[nn.Module, dict[str, ModulatorBlock]]:
    """The modulator, and its blocks by name."""
    for module in network.modules():
        if isinstance(module, Modulator):
            blocks = {name: part for name, part in module.named_modules() if isinstance(part, ModulatorBlock)}
            if blocks:
                return module, blocks
    raise ConfigError(
        f"embedding_pca needs a network with modulators, which this {type(network).__name__} has not. Take model=rpcm, "
        "or choose one for a matching network: model/modulator=p2c"
    )


def _project(maps: Sequence[Float[Tensor, "_O C h w"]]) -> tuple[list[Tensor], Tensor]:
    """Colours of each frame's maps, and the share of the variance behind each colour."""
    flat = [part.float().movedim(1, -1) for part in maps]
    rows = torch.cat([part.flatten(0, 2) for part in flat])
    mean = rows.mean(0)
    rows = rows - mean
    values, vectors = torch.linalg.eigh((rows.T @ rows).double() / len(rows))
    values, axes = values.flip(0).clamp_min(0), vectors.flip(1)[:, :COLOURS].to(rows.dtype)
    # An axis has no direction of its own: its largest entry is made positive.
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    spread = 2 * SPREAD * values[:COLOURS].sqrt().clamp_min(1e-12).to(rows.dtype)
    colours = [(0.5 + (part - mean) @ axes / spread).clamp(0, 1).movedim(-1, 1) for part in flat]
    explained = values[:COLOURS] / values.sum().clamp_min(1e-12)
    return colours, explained.to(rows.dtype).cpu()
