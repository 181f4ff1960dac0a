"""Objects' maps through the steps of calibration (AOC-Net, figure 4c)."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vosfw.analysis.picture import contact_sheet, heat, with_heat_legend
from vosfw.analysis.watch import labelled_steps, own_mask, require_some, watching
from vosfw.engine.engine import Engine, VideoSource
from vosfw.errors import ConfigError
from vosfw.interfaces import Segmenter
from vosfw.model.gate.calibration import CalibrationGate


class CalibrationSteps(NamedTuple):
    """One frame; background first, then the objects that are in use."""

    frame: int
    """Index in the video."""
    labels: UInt8[Tensor, "Y X"]
    """As published: slot + 1, 0 background."""
    classes: tuple[int, ...]
    """Label of each row of the maps: 0 for the background, slot + 1."""
    steps: tuple[str, ...]
    """Names of the gates, in the order of their computation."""
    before: tuple[Float[Tensor, "O _h _w"], ...]
    """Of each step: the mean over the channels of the map that comes in."""
    after: tuple[Float[Tensor, "O _h _w"], ...]
    """The same of the calibrated map."""
    weight: tuple[Float[Tensor, "O _h _w"], ...]
    """How much each cell of the map that comes in counts in the gains, as a share of the one that counts most.

    It is the confidence; 0 for cells outside the share ``beta`` that the gate keeps.
    """
    gains: tuple[Float[Tensor, "O _C"], ...]
    """Factors of the channels, in 0..2."""


class _Seen(NamedTuple):
    name: str
    valid: Tensor
    maps: tuple[Tensor, Tensor, Tensor, Tensor]


@torch.no_grad()
def calibration_steps(
    network: Segmenter[Any],
    video: VideoSource,
    engine: Engine | None = None,
    *,
    frames: Collection[int],
    device: torch.device | str = "cpu",
) -> list[CalibrationSteps]:
    """Each object's map before and after every calibration, and the cells that decide about it.

    Args:
        network: A network with calibration, such as ``vosfw.load`` returns.
        video: Such as ``DavisDataset(root, "blackswan").video(0)``.
        engine: None takes the one that came with the network. Test-time augmentation is left out.
        frames: Indices of the frames. Those that are not predicted have no maps.
        device: Where to compute.

    Raises:
        ConfigError: If the network has no calibration, or none of the frames is predicted.
    """
    gates = {name: part for name, part in network.named_modules() if isinstance(part, CalibrationGate)}
    if not gates:
        raise ConfigError(
            f"calibration_steps needs a network with calibration, which this {type(network).__name__} has not. Take "
            "model=aoc, or choose it for a matching network: model/ensembler=aoc or model/decoder=calibrated"
        )
    seen: dict[str, _Seen] = {}

    def keep(name: str, module: nn.Module, inputs: tuple[Any, ...], gains: Tensor) -> None:
        assert isinstance(module, CalibrationGate)
        # A step that runs again, for an object that joined, goes to the end.
        seen.pop(name, None)
        seen[name] = _Seen(name, inputs[2][0], _maps(module, inputs[0], gains))

    handles = [gate.register_forward_hook(partial(keep, name)) for name, gate in gates.items()]
    results: list[CalibrationSteps] = []
    with watching(*handles):
        for step, labels in labelled_steps(network, video, engine, frames, device):
            if step.predicted:
                used = next(iter(seen.values())).valid
                classes = tuple(used.nonzero().flatten().tolist())
                parts = zip(*(tuple(part[used] for part in one.maps) for one in seen.values()), strict=True)
                results.append(CalibrationSteps(step.frame, labels, classes, tuple(seen), *parts))
    require_some(results, "calibration_steps", frames)
    return results


def draw_calibration(
    video: VideoSource, results: Sequence[CalibrationSteps], *, background: bool = False, height: int = 120
) -> UInt8[Tensor, "3 Y X"]:
    """A contact sheet: per frame and object three rows, with a column per step of calibration.

    The mean of the channels before, the same after, and the cells that count, black for those left out. Before and
    after have one scale, per step and object; beside ``after`` stand mean and deviation of the channels' gains.

    Args:
        video: The frames.
        results: Of ``calibration_steps``.
        background: Draw its rows too.
        height: Of a tile, in pixels.
    """
    tiles: list[Tensor] = []
    captions: list[str] = []
    for item in results:
        for row, label in enumerate(item.classes):
            if label or background:
                tile = own_mask(video, item.frame, item.labels, label)
                name = f"frame {item.frame}: " + (f"object {label}" if label else "background")
                for i, part in enumerate(_rows(item, row)):
                    tiles += [torch.full_like(tile, 255) if i else tile, *(heat(values) for _, values in part)]
                    captions += ["" if i else name, *(what for what, _ in part)]
    columns = 1 + len(results[0].steps) if results else 1
    return with_heat_legend(contact_sheet(tiles, columns, height, captions), "low ", "high")


def _maps(gate: CalibrationGate, x: Tensor, gains: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Before, after, weights and gains, of all classes."""
    maps, factors = x[0].float(), gains[0].float()
    weight = gate.own.share(x).float()[0].unflatten(1, maps.shape[-2:])
    after = torch.einsum("ochw,oc->ohw", maps, factors) / maps.shape[1]
    return maps.mean(1), after, weight / weight.amax((1, 2), keepdim=True).clamp_min(1e-12), factors


def _rows(item: CalibrationSteps, row: int) -> list[list[tuple[str, Tensor]]]:
    """What is to be drawn of an object, with a caption each: per row, per step."""
    before, after, weight = [], [], []
    for step, old, new, cells, gains in zip(item.steps, *item[4:], strict=True):
        both = torch.stack([old[row], new[row]])
        both = (both - both.min()) / (both.max() - both.min()).clamp_min(1e-12)
        before.append((f"{step}: before", both[0]))
        after.append((f"after: gain {gains[row].mean():.2f} ± {gains[row].std():.2f}", both[1]))
        weight.append(("cells that count" if bool(cells[row].any()) else "no cell counts", cells[row]))
    return [before, after, weight]
