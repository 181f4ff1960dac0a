"""Run by test_contract.py: the calls of a network compile without a graph break and give the same numbers."""

import sys

import torch
from scenes import make_clip
from torch.utils import _pytree as pytree
from unit.model.test_contract import build, first

torch.set_num_threads(1)
for network in sys.argv[1:]:
    torch.compiler.reset()
    model = build(network)
    with torch.no_grad():
        features, masks, state = first(model, make_clip(frames=2))
        calls = {
            "encode": (model.encode, (features.frames,), {}),
            "segment": (model.segment, (features.at(1), state), {}),
            "memorize": (model.memorize, (features.at(1), masks, state), {"keep": True}),
        }
        for name, (call, args, kwargs) in calls.items():
            compiled = torch.compile(call, fullgraph=True, backend="eager", dynamic=False)
            plain = pytree.tree_leaves(call(*args, **kwargs))
            for a, b in zip(plain, pytree.tree_leaves(compiled(*args, **kwargs)), strict=True):
                torch.testing.assert_close(b, a, msg=lambda text, name=name: f"{name}: {text}")
    print(network)
