"""Where in a frame a network would have to see an object to find it in another frame (cycle-ERF)."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from vosfw.analysis.picture import contact_sheet, heat, with_heat_legend
from vosfw.data.overlay import overlay
from vosfw.data.video import Video
from vosfw.engine.augment import Augment
from vosfw.engine.corrector import GradientCorrector
from vosfw.engine.cycle import KnownFrame
from vosfw.engine.engine import Engine, VideoSource
from vosfw.errors import ConfigError
from vosfw.interfaces import Segmenter
from vosfw.types import ObjectMasks


class CycleERF(NamedTuple):
    """The cycle effective receptive field of the objects of one target frame in one reference frame."""

    frame: int
    """Index of the reference frame, whose mask was empty at first."""
    target: int
    """Index of the frame whose masks are known."""
    classes: tuple[int, ...]
    """Label of each object: slot + 1."""
    maps: Float[Tensor, "k Y X"]
    """What grew in the empty masks, from 0, at the video's own size."""
    concentration: Float[Tensor, "k"]
    """Share of each map's mass that lies inside the object's true mask, in 0..1: 1 is all inside, the object's share of
    the frame is what an even map has. 0 for a map without mass, NaN where the truth is not known or has no such object.
    """
    half_area: Float[Tensor, "k"]
    """The smallest share of the frame that holds half of a map's mass, in 0..0.5: an even map has 0.5, as has one
    without mass. Needs no truth."""
    losses: Float[Tensor, "N"]
    """Of the target frame, before each step."""


def cycle_erf(
    network: Segmenter[Any],
    video: VideoSource,
    engine: Engine | None = None,
    *,
    frames: Collection[int],
    target: int | None = None,
    target_mask: Shaped[Tensor, "Y X"] | None = None,
    truth: Mapping[int, Shaped[Tensor, "Y X"]] | None = None,
    rate: float | int = 180.0,
    steps: int = 50,
    device: torch.device | str = "cpu",
) -> list[CycleERF]:
    """Grow an empty mask of a reference frame until it explains the target frame (Li et al., IJCV 2022, cycle-ERF).

    Gradient correction of a mask that is 0 everywhere, background included; what is positive in the end shows where the
    network takes its evidence from. All objects of the target frame grow jointly.

    Args:
        network: Differentiable in its masks, such as ``vosfw.load`` returns.
        video: Such as ``DavisDataset(root, "blackswan").video(0)``.
        engine: None takes the one that came with the network. Test-time augmentation is left out.
        frames: Indices of the reference frames, each for itself.
        target: Index of the target frame; None takes the first given one.
        target_mask: Its label map, slot + 1; None takes the given one.
        truth: Label maps of reference frames, for the concentration; None takes what the video knows.
        rate: Step size, as in ``GradientCorrector``.
        steps: ``M`` of the paper.
        device: Where to compute.

    Raises:
        ConfigError: If the network hardens its masks, a frame is not in the video, or the target has no mask or object.
    """
    if not network.mask_gradient:
        raise ConfigError(
            f"cycle_erf needs a network that uses masks softly, which this {type(network).__name__} does not. Take "
            "model=stm, kmn, gcm or stcn, or model.soft_masks=true for CFBI, RPCM and AOC-Net"
        )
    target = min(video.given) if target is None else target
    if outside := sorted(t for t in {*frames, target} if not 0 <= t < len(video)):
        raise ConfigError(f"cycle_erf: frames {outside} are not in the video; wanted 0 to {len(video) - 1}")
    if target_mask is None and target not in video.given:
        raise ConfigError(f"cycle_erf: no mask is given in frame {target}; give target_mask or take {[*video.given]}")
    labels = (video.given_mask(target) if target_mask is None else target_mask).to(device)
    classes = tuple(label for label in labels.unique().tolist() if 0 < label < 255)
    if not classes:
        raise ConfigError(f"cycle_erf: the mask of frame {target} shows no object")
    engine = (engine or network.default_engine or Engine()).replace(augment=Augment(), corrector=None)
    corrector = GradientCorrector(rate=rate, steps=steps)
    network = network.to(device).eval()
    stream = engine.stream(network, video.size)
    rows = torch.tensor(classes, device=labels.device)
    valid = torch.zeros(1, classes[-1], dtype=torch.bool, device=labels.device).index_fill(1, rows - 1, True)
    results = []
    with torch.no_grad():
        known = KnownFrame(_encode(stream, video, target, device), stream.place_given(labels[None], valid))
        empty = ObjectMasks(torch.zeros_like(known.masks.probs), valid, torch.ones_like(known.masks.weight))
        for frame in frames:
            features = _encode(stream, video, frame, device)
            grown = corrector.correct(network, features, empty, known, engine.resize)
            maps = engine.fit(grown.masks.probs.relu(), stream.geometry)[0, rows].cpu()
            inside = concentration(maps, classes, _truth(video, frame, truth))
            results.append(CycleERF(frame, target, classes, maps, inside, half_area(maps), grown.losses[:, 0].cpu()))
    return results


def concentration(
    maps: Float[Tensor, "k Y X"], classes: Sequence[int], truth: Shaped[Tensor, "Y X"] | None
) -> Float[Tensor, "k"]:
    """See ``CycleERF.concentration``."""
    if truth is None:
        return maps.new_full((len(classes),), math.nan)
    inside = torch.stack([truth.cpu() == label for label in classes])
    share = (maps * inside).sum((1, 2)) / maps.sum((1, 2)).clamp_min(torch.finfo(maps.dtype).tiny)
    return torch.where(inside.flatten(1).any(1), share, math.nan)


def half_area(maps: Float[Tensor, "k Y X"]) -> Float[Tensor, "k"]:
    """See ``CycleERF.half_area``."""
    mass = maps.flatten(1).double().sort(1, descending=True).values.cumsum(1)
    needed = 1 + (mass < mass[:, -1:] / 2).sum(1)
    return torch.where(mass[:, -1] > 0, needed / mass.shape[1], 0.5).float()


def erf_overlay(frame: UInt8[Tensor, "3 Y X"], maps: Float[Tensor, "k Y X"]) -> UInt8[Tensor, "3 Y X"]:
    """The largest value of all objects, from its least to its largest as colours of ``heat``, half over the frame."""
    joint = maps.amax(0)
    joint = (joint - joint.min()) / (joint.max() - joint.min()).clamp_min(1e-12)
    return ((frame.float().cpu() + heat(joint).float()) / 2).round().to(torch.uint8)


def draw_cycle_erf(
    video: VideoSource, results: Sequence[CycleERF], *, height: int = 160, truth: Mapping[int, Tensor] | None = None
) -> UInt8[Tensor, "3 Y X"]:
    """A contact sheet: a row per result, with the target frame, the reference frame and its map, masks drawn if known.

    Args:
        video: The frames.
        results: Of ``cycle_erf``.
        height: Of a tile, in pixels.
        truth: As in ``cycle_erf``.
    """
    tiles: list[Tensor] = []
    captions: list[str] = []
    for item in results:
        for place in (item.target, item.frame):
            labels = _truth(video, place, truth)
            if labels is None and place in video.given:
                labels = video.given_mask(place)
            frame = as_bytes(video.frame(place))
            tiles.append(frame if labels is None else overlay(frame, labels.cpu()))
        tiles.append(erf_overlay(as_bytes(video.frame(item.frame)), item.maps))
        inside, half = item.concentration.nanmean(), item.half_area.mean()
        known = "" if inside.isnan() else f"inside {inside:.2f}, "
        captions += [f"target {item.target}", f"frame {item.frame}", f"{known}half in {100 * half:.1f} %"]
    return with_heat_legend(contact_sheet(tiles, 3, height, captions), "none ", "most")


def as_bytes(frame: Tensor) -> UInt8[Tensor, "3 Y X"]:
    """A frame of a video, which may be floating-point, for pictures."""
    return (frame * 255).round().clamp(0, 255).to(torch.uint8) if frame.is_floating_point() else frame


def _encode(stream: Any, video: VideoSource, index: int, device: torch.device | str) -> Any:
    return stream.segmenter.encode(stream.place_frames(video.frame(index)[None].to(device))[:, None])


def _truth(video: VideoSource, frame: int, truth: Mapping[int, Tensor] | None) -> Tensor | None:
    if truth is not None:
        return truth.get(frame)
    return video.truth(frame) if isinstance(video, Video) else None
