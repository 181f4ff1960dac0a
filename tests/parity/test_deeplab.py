"""The encoder and embedding of CFBI, RPCM and AOC-Net against numbers of the released code."""

import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vosfw.config import compose, instantiate
from vosfw.convert.deeplab import RULES
from vosfw.convert.table import convert
from vosfw.model.layers.embedding import EmbeddingHead

OWN = ("feature_extracter", "seperate_conv", "bn1", "embedding_conv", "bn2", "semantic_embedding")


@pytest.fixture(scope="module")
def fixtures(golden):
    spec = importlib.util.spec_from_file_location("weights_proxy", golden / "weights.py")
    rules = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rules)
    cases = json.loads((golden / "rpcm/modules.json").read_text())
    return SimpleNamespace(
        keys=[key for key in json.loads((golden / "rpcm/keys.json").read_text()) if key[0].split(".")[0] in OWN],
        rules=rules,
        cases={name: case for name, case in cases.items() if name.startswith("encoder/")},
        arrays=np.load(golden / "rpcm/modules.npz"),
    )


@pytest.fixture(scope="module")
def conversion(fixtures):
    official = {name: torch.from_numpy(value) for name, value in fixtures.rules.fill_keys(fixtures.keys).items()}
    encoder = instantiate(compose(config_name="model/encoder/deeplab_r101").model.encoder).eval()
    network = torch.nn.ModuleDict({"encoder": encoder, "embedding": EmbeddingHead(encoder.out_channels[0])})
    result = convert(official, RULES, network.state_dict())
    network.load_state_dict(result.weights)
    return network, result, official


@pytest.fixture(scope="module")
def maps(fixtures, conversion):
    """What every part gives for the input of the cases."""
    network = conversion[0]
    encoder, found = network["encoder"], {}
    parts = {
        "input": encoder.normalize,
        "stem": encoder.backbone.maxpool,
        **{f"layer{i}": encoder.backbone[f"layer{i}"] for i in range(1, 5)},
        "aspp_branch1": encoder.aspp.branches[0],
        "aspp_branch4": encoder.aspp.branches[3],
        "aspp_pool": encoder.aspp.pool,
        "aspp": encoder.aspp,
        "decoder": encoder.decoder,
        "embedding": network["embedding"],
    }
    for name, part in parts.items():
        part.register_forward_hook(lambda _, __, out, name=name: found.update({f"encoder/{name}": out.clone()}))
    image = torch.from_numpy(fixtures.rules.build_input(fixtures.cases["encoder/input"]["inputs"]["image"]))
    # The input is normalised already and in the order B, G, R: the frame of which the encoder makes it.
    frame = image.flip(1) * encoder.normalize.std + encoder.normalize.mean
    with torch.no_grad():
        network["embedding"](encoder(frame)[0])
    return found


def test_every_official_value_is_used(fixtures, conversion):
    network, result, official = conversion
    assert {reason for reason in result.dropped.values()} == {"a second name of the embedding's tensors"}
    assert len(result.used) + len(result.dropped) == len(official)
    trained = {name: sum(p.numel() for p in part.parameters()) for name, part in network["encoder"].named_children()}
    assert trained == {"backbone": 42_394_816, "aspp": 15_532_032, "decoder": 1_302_528, "normalize": 0}
    assert sum(value.numel() for value in network["encoder"].state_dict().values()) == 59_229_376 + 219_072


CASES = ["input", "stem", *(f"layer{i}" for i in range(1, 5)), "aspp_branch1", "aspp_branch4", "aspp_pool", "aspp"]


@pytest.mark.parametrize("name", [*CASES, "decoder", "embedding"])
def test_maps(name, fixtures, maps):
    case, got = fixtures.cases[f"encoder/{name}"], maps[f"encoder/{name}"]
    assert list(got.shape) == case["full_shape"]
    stored = tuple(slice(None, None, step) for step in case["stored_stride"] or ())
    torch.testing.assert_close(got[stored], torch.from_numpy(fixtures.arrays[f"encoder/{name}"]), atol=5e-5, rtol=1e-4)


def test_all_cases_are_met(fixtures, maps):
    assert set(fixtures.cases) == set(maps)
