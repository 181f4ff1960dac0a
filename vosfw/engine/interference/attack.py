"""Attacks along the gradient: FGSM and MI-FGSM."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vosfw.engine.cycle import frozen
from vosfw.engine.engine import Engine
from vosfw.engine.interference import Damage, NoInterference, Scene
from vosfw.engine.interference.noise import Noise
from vosfw.engine.interference.plan import labelled, loaded, no_streaming, without_truth
from vosfw.engine.interference.tape import Tape
from vosfw.engine.source import LabelledVideo
from vosfw.errors import ConfigError, UnsupportedError
from vosfw.interfaces import Segmenter
from vosfw.ops.mask_loss import bootstrapped_cross_entropy, mask_iou_loss
from vosfw.types import VOID, Step

HARD = 0.4
"""Share of pixels in the cross-entropy."""
GREY_LEVELS = 255


class GradientAttack:
    """Noise on remembered masks that raises the loss of the whole video (Li et al., IJCV 2022, noise protocols).

    The loss is cross-entropy over the hardest 40 % of pixels and soft IoU, summed over the predicted frames that have a
    true mask, and taken on the mask grid. Each step is a pass through the video and back and adds
    ``eps / steps * sign(g)`` with ``g = momentum * g + gradient / |gradient|_1`` of each mask. One step is FGSM
    (Goodfellow et al., ICLR 2015), several are MI-FGSM (Dong et al., CVPR 2018). A mask is remembered with its noise,
    clipped to 0..1 and not normalised again; the network that is evaluated sees the noise on its own prediction. The
    gradient is that of the whole course of events: a mask also counts for what is predicted and remembered because of
    it.

    Needs one frame's graph at a time; noise of all remembered masks is kept on the device. Nothing is random.

    Args:
        eps: Largest change of a pixel, in grey levels of 255, from 0 (off) to 255.
        steps: Passes, from 1.
        momentum: Share of the last step's direction that is kept, from 0.
        source: Another network to make the noise with (black box); in a configuration what ``vosfw.load`` takes. None
            for the evaluated one (white box). It runs with the engine it came with and this one's memory policy. Noise
            is resized where the mask grids differ; frames that only this network remembers have none.
        options: Engine options of the other network that differ from these.

    Raises:
        ConfigError: If a number is out of range.
    """

    def __init__(
        self,
        eps: float | int = 20,
        steps: int = 1,
        momentum: float | int = 0,
        source: Segmenter[Any] | str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if not 0 <= eps <= GREY_LEVELS:
            raise ConfigError(f"engine.interference.eps is {eps}; wanted grey levels from 0 to 255")
        if steps < 1 or momentum < 0:
            raise ConfigError(
                f"engine.interference has steps={steps}, momentum={momentum}; wanted steps from 1, momentum from 0"
            )
        self.eps = eps
        self.steps = steps
        self.momentum = momentum
        self.source = source
        self.options = dict(options or {})

    def check(self, scene: Scene) -> None:
        """See ``Interference.check``.

        Raises:
            ConfigError: If the other network is not loaded or its options are wrong.
            DatasetError: If no frame but given ones has a true mask.
            UnsupportedError: If no gradient reaches the masks of the network.
        """
        video, network = labelled(scene, "an attack"), self._network(scene)
        if not network.mask_gradient:
            raise UnsupportedError(
                f"engine.interference: {type(network).__name__} hardens masks before use, so a gradient attack has no "
                "gradient to follow. Set model.soft_masks=true (CFBI, RPCM, AOC-Net), or give another network as "
                "engine.interference.source."
            )
        if all(t in video.given for t in video.annotated):
            frames = tuple(t for t in range(len(video)) if t not in video.given)
            raise without_truth(video, frames, "an attack", "")
        self._engine(scene, network).geometry(scene.video.size, network.grid)

    def start(self, scene: Scene | None) -> Damage:
        """See ``Interference.start``: finds the noise, in ``steps`` passes there and back."""
        if not self.eps:
            return NoInterference()
        if scene is None:
            raise no_streaming("a gradient attack", "all frames and their true masks")
        self.check(scene)
        network = self._network(scene).to(scene.device)
        engine = self._engine(scene, network)
        noise = Noise()
        with torch.inference_mode(False), torch.enable_grad(), frozen(network):
            for _ in range(self.steps):
                there = self._attack(engine, network, labelled(scene, "an attack"), scene.device, noise)
        here = scene.engine.stream(scene.segmenter, scene.video.size, NoInterference())
        if (there.geometry, engine.mask_size) != (here.geometry, scene.engine.mask_size):
            boxed = scene.engine.mask_size == "input"
            for t, values in noise.values.items():
                values = engine.fit(values, there.geometry)
                if boxed:
                    values = F.interpolate(values, here.geometry.resized, mode="bilinear", align_corners=False)
                    values = F.pad(values, here.geometry.margins)
                noise.values[t] = values
        noise.final = True
        return noise

    def _network(self, scene: Scene) -> Segmenter[Any]:
        return scene.segmenter if self.source is None else loaded(self.source, "an attack")

    def _engine(self, scene: Scene, network: Segmenter[Any]) -> Engine:
        options: dict[str, Any] = {"interference": None, "corrector": None}
        if self.source is None:
            return scene.engine.replace(**options)
        own = network.default_engine or scene.engine
        engine: Engine = own.replace(**options | {"policy": scene.engine.policy} | self.options)
        return engine

    def _attack(
        self, engine: Engine, network: Segmenter[Any], video: LabelledVideo, device: torch.device | str, noise: Noise
    ) -> Tape:
        """One pass: follow the gradient by one step."""
        plain = engine.stream(network, video.size, noise)
        tape = Tape(engine, plain.segmenter, plain.geometry, noise)
        tape.record(len(video))
        for step in engine.run(network, video, device, tape):
            del step
        noise.taken()
        tape.backward(
            lambda t: tape.place_frames(video.frame(t)[None].to(device)),
            lambda step: video_loss(tape, video, step),
            noise.taken,
            lambda gradients: noise.follow(gradients, self.eps / GREY_LEVELS, self.steps, self.momentum),
        )
        return tape


def video_loss(tape: Tape, video: LabelledVideo, step: Step) -> Float[Tensor, ""] | None:
    """Loss of one frame (STM-cycle's: cross-entropy of hard pixels, and soft IoU); None if it does not count."""
    truth = video.truth(step.frame) if step.predicted else None
    if truth is None:
        return None
    labels = truth[None].to(step.logits.device)
    if tape.engine.mask_size == "input":
        labels = tape.geometry.place_labels(labels, pad=VOID)
    logits = step.logits.float()
    used = F.pad(step.masks.valid, (1, 0), value=True)
    loss = bootstrapped_cross_entropy(logits, labels, HARD) + mask_iou_loss(logits.softmax(1), labels, used)
    return loss.sum()
