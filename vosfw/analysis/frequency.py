"""What gradient correction does to the spatial frequencies of a mask."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vosfw.data.files import replacing
from vosfw.engine.corrector import Corrector, NoCorrector, Resize
from vosfw.engine.cycle import KnownFrame
from vosfw.engine.engine import Engine, VideoSource
from vosfw.errors import ConfigError
from vosfw.interfaces import Segmenter
from vosfw.types import Features, ObjectMasks

EPSILON = 1e-8
"""Added to the spectrum that is divided by, so that an empty mask divides by something."""


class FrequencyResponse(NamedTuple):
    """Mean gain per frequency of all corrected frames, on the mask grid."""

    ratio: Float[Tensor, "K H W"]
    """|FFT2 after| / |FFT2 before| of each object's mask, unshifted: [0, 0] is the mean. NaN for an object that was in
    no corrected frame."""
    frames: tuple[int, ...]
    """How many corrected frames each object was in."""


def frequency_ratio(before: Float[Tensor, "*b H W"], after: Float[Tensor, "*b H W"]) -> Float[Tensor, "*b H W"]:
    """Ratio of the spectra's magnitudes (Li et al., IJCV 2022, eq. 9, of one frame); no window, unshifted."""
    ratio: Tensor = torch.fft.fft2(after).abs() / (torch.fft.fft2(before).abs() + EPSILON)
    return ratio


class _Listener:
    """A corrector that adds up what another one does."""

    def __init__(self, corrector: Corrector) -> None:
        self.corrector = corrector
        self.publishes, self.needs_reference = corrector.publishes, corrector.needs_reference
        self.check, self.due = corrector.check, corrector.due
        self.sums: list[Tensor] = []
        self.counts: list[int] = []

    def __call__(
        self, segmenter: Segmenter[Any], features: Features, masks: ObjectMasks, reference: KnownFrame, resize: Resize
    ) -> ObjectMasks:
        corrected = self.corrector(segmenter, features, masks, reference, resize)
        ratio = frequency_ratio(masks.probs[0, 1:].float(), corrected.probs[0, 1:].float()).cpu()
        for slot, used in enumerate(masks.valid[0].tolist()):
            if slot == len(self.sums):
                self.sums.append(torch.zeros_like(ratio[slot]))
                self.counts.append(0)
            if used:
                self.sums[slot] += ratio[slot]
                self.counts[slot] += 1
        return corrected


def frequency_response(
    network: Segmenter[Any],
    video: VideoSource,
    engine: Engine | None = None,
    *,
    corrector: Corrector | None = None,
    device: torch.device | str = "cpu",
) -> FrequencyResponse:
    """How much of each frequency the corrector leaves in a mask, mean over its frames (Li et al., IJCV 2022, eq. 9).

    Args:
        network: Such as ``vosfw.load`` returns.
        video: Run as a whole.
        engine: None takes the one that came with the network.
        corrector: None takes the engine's.
        device: Where to compute.

    Raises:
        ConfigError: If there is no corrector, it cannot correct this network's masks, or it was never due.
    """
    engine = engine or network.default_engine or Engine()
    listener = _Listener(corrector or engine.corrector)
    if isinstance(listener.corrector, NoCorrector):
        raise ConfigError("frequency_response: the engine has no corrector; give corrector=GradientCorrector()")
    with torch.no_grad():
        for _ in engine.replace(corrector=listener).run(network.to(device).eval(), video, device):
            pass
    if not any(listener.counts):
        raise ConfigError(
            f"frequency_response: no frame of this video ({len(video)} frames) was corrected: none that is remembered "
            "was due. Lower corrector.every, or remember more: engine.policy.every"
        )
    counts = torch.tensor(listener.counts, dtype=torch.float32)
    return FrequencyResponse(torch.stack(listener.sums) / counts[:, None, None], tuple(listener.counts))


def radial_mean(ratio: Float[Tensor, "K H W"], bins: int = 24) -> tuple[Float[Tensor, "n"], Float[Tensor, "K n"]]:
    """Mean gain by distance from zero frequency.

    Args:
        ratio: Unshifted.
        bins: Of equal width up to 0.5 cycles per pixel; higher frequencies, in the corners, are left out.

    Returns:
        The bins' centres in cycles per pixel, and the means; NaN in bins without a frequency.
    """
    height, width = ratio.shape[-2:]
    radius = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None]).flatten()
    place = (radius * 2 * bins).long().clamp_max(bins)
    sums = torch.zeros(len(ratio), bins + 1).index_add_(1, place, ratio.flatten(1))
    counts = torch.zeros(bins + 1).index_add_(0, place, torch.ones_like(radius))
    return (torch.arange(bins) + 0.5) / (2 * bins), (sums / counts)[:, :bins]


def plot_frequency(found: FrequencyResponse, path: Path | str, title: str = "") -> None:
    """A picture (PNG, PDF or SVG): each object's gain as a map with zero frequency in the middle, and by frequency.

    Raises:
        OutputError: If the file cannot be written.
    """
    from matplotlib.figure import Figure

    objects = [slot for slot, frames in enumerate(found.frames) if frames]
    gains = torch.fft.fftshift(found.ratio[objects], dim=(1, 2)).clamp_min(1e-6).log10().numpy()
    limit = max(float(np.quantile(np.abs(gains), 0.99)), 1e-3)
    figure = Figure(figsize=(3.4 * len(objects) + 4, 3.4), layout="constrained")
    *maps, curve = figure.subplots(1, len(objects) + 1, squeeze=False)[0]
    for axes, slot, gain in zip(maps, objects, gains, strict=True):
        image = axes.imshow(gain, "coolwarm", vmin=-limit, vmax=limit, extent=(-0.5, 0.5, 0.5, -0.5), aspect="auto")
        axes.set_title(f"object {slot + 1}, {found.frames[slot]} frames", fontsize=9)
        axes.set_xlabel("cycles per pixel")
    figure.colorbar(image, ax=maps, label="log10 of the gain")
    centres, means = radial_mean(found.ratio[objects])
    for slot, mean in zip(objects, means, strict=True):
        curve.plot(centres, mean, label=f"object {slot + 1}")
    curve.axhline(1, color="grey", lw=0.8)
    curve.set_xlabel("cycles per pixel")
    curve.set_ylabel("mean gain")
    curve.set_yscale("log")
    curve.legend(frameon=False)
    if title:
        figure.suptitle(title)
    with replacing(Path(path)) as draft:
        figure.savefig(draft, dpi=150, format=Path(path).suffix[1:] or None)
