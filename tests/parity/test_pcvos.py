"""PCVOS against numbers of the released code. Cases, sizes and names are read from the fixture files."""

import json
import re

import numpy as np
import pytest
import torch
from golden_stcn import Golden, check_masks, check_sequence
from golden_video import GoldenVideo

from vosfw.config import compose, instantiate
from vosfw.model.memory.progressive import ProgressiveMemory
from vosfw.model.refiner.none import NoRefiner
from vosfw.ops.mask_loss import clip_dice, clip_dice_loss
from vosfw.ops.windows import relative_index, separation
from vosfw.types import ObjectMasks

UNLIMITED = "model.memory.base.max_frames=null"


@pytest.fixture(scope="module")
def fixtures(golden):
    return Golden(golden, "pcvos")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(scope="module")
def network(fixtures, folder):
    return fixtures.network(folder, UNLIMITED)


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def frames_of(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()[None] / 255


def pytest_generate_tests(metafunc):
    path = metafunc.config.getoption("golden") / "pcvos"
    if "scene_name" in metafunc.fixturenames:
        metafunc.parametrize("scene_name", json.loads((path / "forward.json").read_text()))
    if "clip_size" in metafunc.fixturenames:
        names = [re.fullmatch(r"icr/([\dx]+)/out_c\d+", name) for name in np.load(path / "modules.npz").files]
        metafunc.parametrize("clip_size", [name[1] for name in names if name])


def test_local_key(fixtures, network):
    images, _ = fixtures.rules.clip("pcvos/modules", *fixtures.modules["labels"].shape, 3)
    coarse = network.encode(frames_of(images)).levels[0]
    fixtures.check("key/input_proj_c16", network.refiner.key_proj(coarse[0]))


def test_progressive_matching(fixtures, network):
    """The twelve frames one after the other, and without progression."""
    height, width = fixtures.modules["mem/with_temp_c32"].shape[-2:]
    cells = fixtures.modules["mem/affinity_top20"].shape[1]
    frames = fixtures.modules["mem/pmm_c64"].shape[2] // height
    key = fixtures.part("mk", (1, 64, cells), 0.9).unflatten(2, (-1, height, width))
    value = fixtures.part("mv", (1, 512, cells)).unflatten(2, (-1, height, width))
    query = fixtures.part("qk", (1, 64, frames, height, width), 0.9)
    memory = network.memory
    bank = memory.empty(key[:, None, :, 0], value[:, None, :, 0])
    for t in range(key.shape[2]):
        bank = memory.write(bank, key[:, None, :, t], value[:, None, :, t], keep=True)
    fixtures.check("mem/pmm_c64", memory.read(bank, query)[:, 0].flatten(2, 3))
    fixtures.check("mem/parallel_c64", memory.base.read(bank, query)[:, 0].flatten(2, 3))


def test_relative_index(fixtures):
    index = relative_index((2, 7, 7), (2, 7, 7), "corner", torch.device("cpu"))
    assert np.array_equal(index.numpy(), fixtures.modules["icr/relative_position_index"])


def test_refinement(clip_size, fixtures, network):
    """Block by block, and the mask of the shifted one."""
    batch, *size = map(int, clip_size.split("x"))
    keys = fixtures.part(f"icr_k/{clip_size}", (batch, 256, *size)).permute(0, 2, 3, 4, 1)
    values = fixtures.part(f"icr_v/{clip_size}", (batch, 512, *size)).permute(0, 2, 3, 4, 1)
    refiner, name = network.refiner, f"icr/{clip_size}"
    first, second = refiner.blocks
    mask = separation(second.windows(tuple(size)), torch.device("cpu"), padding=True)
    wanted = torch.from_numpy(fixtures.modules[f"{name}/mask"]).bool()
    assert torch.equal((torch.zeros_like(wanted) if mask is None else mask < 0), wanted)

    def check(kind, got):
        torch.testing.assert_close(
            got[..., 0, ::64], torch.from_numpy(fixtures.modules[f"{name}/{kind}_c64"]), atol=1e-4, rtol=1e-4
        )

    x = values[..., None, :]
    weights = first.weights(keys)
    check("attn0", first.attention(first.norm_value(x), weights, first.windows(tuple(size))))
    x = first(x, weights)
    check("block0", x)
    x = second(x, second.weights(keys))
    check("block1", x)
    refined = refiner.norm(x)[..., 0, :].permute(0, 4, 1, 2, 3)
    fixtures.check(next(n for n in fixtures.modules.files if n.startswith(f"{name}/out")), refined)


def test_clip(fixtures, network):
    """A clip from encoder to decoder, before aggregation."""
    labels = fixtures.modules["labels"]
    images, _ = fixtures.rules.clip("pcvos/modules", *labels.shape, int(labels.max()))
    wanted = fixtures.modules["seg/prob_s2"]
    size = (2 * wanted.shape[1], 2 * wanted.shape[2])
    clip, _ = fixtures.rules.clip("pcvos/seg", len(wanted), *size, 3)
    known = torch.from_numpy(fixtures.rules.onehot(labels, int(labels.max())))[:1]
    features = network.encode(frames_of(images)).at(0)
    # Of object 1 among three: its value knows the others.
    state = network.init_state(
        features, ObjectMasks(known, torch.ones(1, 3, dtype=torch.bool), torch.ones_like(known[:, :1]))
    )
    logits, _ = network.segment(network.encode(frames_of(clip)), state)
    # Aggregation keeps the odds of every object.
    probs = logits[0, :, 1, ::2, ::2].sigmoid()
    torch.testing.assert_close(probs, torch.from_numpy(wanted), atol=3e-5, rtol=0)


def test_sequence(scene_name, fixtures, network, monkeypatch):
    scene = fixtures.scenes[scene_name]
    stored = f"{scene['clip']}/labels"
    labels = fixtures.forward[stored] if stored in fixtures.forward.files else None
    video = GoldenVideo(fixtures.rules, scene, scene["appear"], labels)
    if scene["refine"] == "None":
        monkeypatch.setitem(network._modules, "refiner", NoRefiner())
    if scene["memory_read"] == "parallel":
        assert isinstance(network.memory, ProgressiveMemory)
        monkeypatch.setitem(network._modules, "memory", network.memory.base)
    options = [f"engine.clip_length={scene['L']}", f"engine.policy.recent={str(scene['include_last']).lower()}"]
    engine = instantiate(compose(["engine=pcvos", *options]).engine)
    steps = {step.frame: step for step in engine.run(network, video, "cpu")}
    check_sequence(fixtures.forward, scene_name, scene, steps)
    check_masks(fixtures.forward, scene_name, scene, steps, engine, network)


@pytest.mark.parametrize("form", ["linear", "squared"])
def test_clip_loss(form, golden):
    """The reading of the paper: objects are rows of their own, so that they need not add up to one."""
    known = np.load(golden / "pcvos" / "formulas.npz")
    probs, masks = torch.from_numpy(known["p"])[None], torch.from_numpy(known["g"])[None]
    dice = clip_dice(probs, masks.float(), squared=form == "squared", smooth=1)
    torch.testing.assert_close(1 - dice[0].double(), torch.from_numpy(known[f"dice_{form}"]), atol=1e-6, rtol=0)
    # As classes: two objects that exclude each other are two samples of one object each.
    each = torch.stack([1 - probs[0], probs[0]], dim=1)
    loss = clip_dice_loss(each, masks[0], torch.ones(2, 1, dtype=torch.bool), squared=form == "squared")
    assert loss.sum().item() == pytest.approx(float(known[f"clip_loss_{form}"]), abs=1e-6)
