"""The fixtures of STCN and PCVOS, which share weights by name and most modules."""

import importlib.util
import json
import re

import numpy as np
import torch

import vosfw
from vosfw.convert.__main__ import main as convert


class Golden:
    """One folder of fixtures."""

    def __init__(self, folder, system="stcn"):
        spec = importlib.util.spec_from_file_location("weights_stm", folder / "weights_stm.py")
        self.rules = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.rules)
        self.system = system
        self.keys, self.scenes = (
            json.loads((folder / system / name).read_text()) for name in ("keys.json", "forward.json")
        )
        self.forward = np.load(folder / system / "forward.npz")
        self.modules = np.load(folder / "pcvos" / "modules.npz")

    def part(self, name, shape, scale=1.0):
        """An input of a module's test."""
        return torch.from_numpy(self.rules.tensor(f"pcvos/modules/{name}", shape, scale=scale))

    def check(self, name, got):
        """A module's result; ``_cN`` in the name keeps every N-th channel (the array's axis 1)."""
        step = re.search(r"_c(\d+)$", name)
        got = got[:, :: int(step[1])] if step else got
        wanted = torch.from_numpy(self.modules[name])
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)

    def network(self, folder, *overrides, salt=0, mask_channels=2):
        """The network with generated weights, which come in as a user's checkpoint does."""
        target = folder / f"{self.system}_{salt}_{mask_channels}.safetensors"
        if not target.exists():
            state = {name: torch.zeros(shape, dtype=getattr(torch, kind)) for name, shape, kind in self.keys}
            stem = "value_encoder.conv1.weight"
            state[stem] = state[stem][:, : 3 + mask_channels].clone()
            self.rules.fill_(state, salt=salt)
            torch.save(state, target.with_suffix(".pth"))
            assert convert([self.system, str(target.with_suffix(".pth")), str(target), *overrides]) == 0
        return vosfw.load(target)


def check_sequence(forward, name, scene, steps):
    """Probabilities of all frames, every n-th row and column of them, and of the last frame as a whole."""
    stride = scene["prob_stride"]
    wanted = forward[f"{name}/prob_s{stride}"]
    got = np.zeros_like(wanted)
    # Frames that nobody asked for hold the clamp value of the background: argmax gives background.
    got[0] = 1e-7
    for t, step in steps.items():
        probs = step.masks.probs[0, :, ::stride, ::stride]
        got[: len(probs), t] = probs
        got[len(probs) :, t] = wanted[len(probs) :, t]
        assert wanted[len(probs) :, t].max(initial=0) <= 1.1e-7, "an object that has not joined"
    atol = max(3e-5, 10 * scene["f32_vs_f64_max"])
    worst = np.abs(got - wanted).max(axis=(0, 2, 3))
    assert (worst <= atol).all(), f"first differing frame: {int((worst > atol).argmax())}, errors {worst}"
    if f"{name}/prob_last" in forward.files:
        last = steps[wanted.shape[1] - 1].masks.probs[0].numpy()
        np.testing.assert_allclose(last, forward[f"{name}/prob_last"], atol=atol, rtol=0)


def check_masks(forward, name, scene, steps, engine, network):
    """Label maps at the size of the annotations."""
    geometry = engine.geometry(tuple(scene["size"]), network.grid)._replace(original=tuple(scene["out_size"]))
    masks = np.zeros_like(forward[f"{name}/masks"])
    for t, step in steps.items():
        masks[t] = engine.publish(step, geometry)[0].argmax(0).numpy()
    differing = int((masks != forward[f"{name}/masks"]).sum())
    assert differing <= scene["mask_pixels_differing"] + 5
