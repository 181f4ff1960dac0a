import json
from pathlib import Path

import pytest
import torch

from vosfw.config import compose, instantiate
from vosfw.convert.__main__ import main
from vosfw.convert.deeplab import RULES
from vosfw.convert.table import _match
from vosfw.errors import CheckpointError
from vosfw.hub import load, read_checkpoint

KEYS = json.loads((Path(__file__).parents[2] / "golden/cfbi/keys.json").read_text())
PREFIX = "feature_extracter."
SMALL = [
    "model.encoder.name=resnet18",
    "model.encoder.width=16",
    "model.encoder.low_width=8",
    "+model.encoder.options.channels=[8,8,16,16]",
]


def official(prefix="module."):
    """A checkpoint with the authors' names, of a small encoder; the classifier and the counters are extra."""
    encoder = instantiate(compose(SMALL, config_name="model/encoder/deeplab_r101").model.encoder)
    state, found = encoder.state_dict(), {}
    blocks = {key for key in state if key.startswith("backbone.")}
    found |= {key: torch.rand(state[key].shape) for key in blocks}
    for name, _, _ in KEYS:
        if name.startswith((f"{PREFIX}aspp", f"{PREFIX}decoder")):
            target = _match(name, RULES)[1][0].removeprefix("encoder.")
            found[name.removeprefix(PREFIX)] = torch.rand(state[target].shape)
    extra = {"decoder.last_conv.8.bias": torch.ones(21), "aspp.bn1.num_batches_tracked": torch.tensor(3)}
    return {prefix + key: value for key, value in {**found, **extra}.items()}


def test_rules_name_every_key_of_the_encoder_and_embedding_once():
    matched = {name: _match(name, RULES) for name, _, _ in KEYS}
    own = [name for name in matched if name.startswith((PREFIX, "seperate_conv", "embedding_conv", "bn1", "bn2"))]
    targets = [target for name in own for target in matched[name][1]]
    assert len(set(targets)) == len(targets) == len(own)
    assert {target.partition(".")[0] for target in targets} == {"encoder", "embedding"}
    aliases = [name for name in matched if name.startswith("semantic_embedding.")]
    assert len(aliases) == 8 and all(matched[name][0].reason for name in aliases)
    others = set(matched) - {*own, *aliases}
    assert not any(matched[name][0] for name in others)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_command(tmp_path, capsys, prefix):
    source, target = tmp_path / "resnet101-deeplabv3p.pth.tar", tmp_path / "encoder.safetensors"
    state = official(prefix)
    torch.save({"state_dict": state}, source)
    assert main(["deeplab", str(source), str(target), *SMALL]) == 0
    said = capsys.readouterr().out
    assert "aspp.aspp4.bn.weight -> encoder.aspp.branches.3.1.weight" in said
    assert "1 dropped (no part of the encoder, such as the classifier)" in said
    assert "1 dropped (frozen norms do not count batches)" in said
    stored = read_checkpoint(target)
    assert stored.name == "deeplab" and stored.model["encoder"]["bgr"] is True
    merged = stored.weights["encoder.aspp.merge.0.weight"]
    assert torch.equal(merged, state[f"{prefix}aspp.conv1.weight"])
    with pytest.raises(CheckpointError, match="encoder_weights="):
        load(target)


def test_wrong_files(tmp_path, capsys):
    state = official("")
    del state["backbone.conv1.weight"]
    torch.save(state, tmp_path / "in.pth")
    target = tmp_path / "out.safetensors"
    assert main(["deeplab", str(tmp_path / "in.pth"), str(target), *SMALL]) == 1
    assert "encoder.backbone.conv1.weight" in capsys.readouterr().err
    assert main(["deeplab", str(tmp_path / "absent.pth"), str(target)]) == 1
    assert "give the path" in capsys.readouterr().err
    assert not target.exists()
