"""The fixtures of STM and the cyclic mechanism."""

import importlib.util
import json
import re

import numpy as np
import torch

import vosfw
from vosfw.convert.__main__ import main as convert

COMPOSITION = {"resnet50": ("stm", "keys"), "resnet18": ("stm_r18", "keys_resnet18")}


class Golden:
    """One folder of fixtures."""

    def __init__(self, folder):
        spec = importlib.util.spec_from_file_location("weights_stm", folder / "weights_stm.py")
        self.rules = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.rules)
        self.folder = folder / "stm_cycle"
        self.scenes = json.loads((self.folder / "forward.json").read_text())
        self.modules, self.forward, self.formulas = (
            np.load(self.folder / f"{name}.npz") for name in ("modules", "forward", "formulas")
        )

    def part(self, name, shape, scale=1.0, shift=0.0):
        """An input of a module's test."""
        return torch.from_numpy(self.rules.tensor(f"stm_cycle/{name}", shape, scale=scale, shift=shift))

    def check(self, name, got):
        """A module's result; ``_cN`` keeps every N-th channel (axis 1), ``_sN`` every N-th row and column."""
        channels, places = re.search(r"_c(\d+)$", name), re.search(r"_s(\d+)$", name)
        got = got[:, :: int(channels[1])] if channels else got
        got = got[..., :: int(places[1]), :: int(places[1])] if places else got
        torch.testing.assert_close(got, torch.from_numpy(self.modules[name]), atol=1e-4, rtol=1e-4)

    def network(self, folder, arch, salt=0):
        """The network with generated weights, which come in as a user's checkpoint does."""
        name, keys = COMPOSITION[arch]
        target = folder / f"{name}_{salt}.safetensors"
        if not target.exists():
            listed = json.loads((self.folder / f"{keys}.json").read_text())
            state = {name: torch.zeros(shape, dtype=getattr(torch, kind)) for name, shape, kind in listed}
            self.rules.fill_(state, salt=salt)
            torch.save({"epoch": 1, "max_skip": [5], "state_dict": state}, target.with_suffix(".pth"))
            assert convert([name, str(target.with_suffix(".pth")), str(target), "model.memory.max_frames=null"]) == 0
        return vosfw.load(target)
