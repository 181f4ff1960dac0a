"""STCN against numbers of the released code. Cases, sizes and names are read from the fixture files."""

import json
import re
import zlib

import numpy as np
import pytest
import torch
from golden_stcn import Golden, check_masks, check_sequence
from golden_video import GoldenVideo
from torch.nn import functional as F

import vosfw
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.loss.bootstrapped_ce import BootstrappedCE
from vosfw.ops.affinity import attention_read
from vosfw.ops.aggregate import soft_aggregate
from vosfw.types import ObjectMasks

UNLIMITED = "model.memory.max_frames=null"


def frames_of(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def fixtures(golden):
    return Golden(golden)


@pytest.fixture(scope="module")
def trained(golden):
    return np.load(golden / "stcn" / "modules.npz")


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


@pytest.fixture(scope="module")
def clip(fixtures):
    """Encoded frames and one-hot masks of the modules' clip."""
    labels = fixtures.modules["labels"]
    images, drawn = fixtures.rules.clip("pcvos/modules", *labels.shape, int(labels.max()))
    assert np.array_equal(drawn, labels)
    assert zlib.crc32(images.tobytes()) == fixtures.modules["frames_crc32"][0]
    return frames_of(images)[None], torch.from_numpy(fixtures.rules.onehot(labels, int(labels.max())))


def test_key_encoder(fixtures, network, clip):
    levels = [level[:, 0] for level in network.encode(clip[0]).levels]
    names = ("f16_c16", "k16", "f16_thin_c8", "f8_c32", "f4_c64")
    for name, level in zip(names, levels, strict=True):
        fixtures.check(f"key/{name}", level)


def test_value_encoder(fixtures, network, clip):
    features, masks = network.encode(clip[0][:, :1]), clip[1][:1, 1:]
    soft = fixtures.part("softmask", (masks.shape[1], 1, *masks.shape[2:])).sigmoid().transpose(0, 1)
    for name, probs in (("multi_c8", masks), ("single_c8", masks[:, :1]), ("soft_c8", soft)):
        _, value = network.value_encoder(features, probs, torch.ones(probs.shape[:2], dtype=torch.bool))
        fixtures.check(f"value/{name}", value[0][:, :, None])


def test_fuser_and_its_attention(fixtures, network):
    fuser = network.value_encoder.fuser
    count, _, height, width = fixtures.modules["cbam/out_c8"].shape
    fixtures.check("cbam/out_c8", fuser.attention(fixtures.part("cbam", (count, 512, height, width))))
    count, _, height, width = fixtures.modules["fuser/out_c8"].shape
    x, frame = (fixtures.part(n, (count, c, height, width)) for n, c in (("fuse_x", 256), ("fuse_f", 1024)))
    fixtures.check("fuser/out_c8", fuser(x, fuser.block1.frame_half(frame)))


def test_memory_read(fixtures):
    _, cells, queries = fixtures.modules["mem/affinity_top20"].shape
    names = [name for name in fixtures.modules.files if re.fullmatch(r"mem/read_top\d+_c\d+", name)]
    height, width = fixtures.modules[names[0]].shape[-2:]
    key = fixtures.part("mk", (1, 64, cells), 0.9).transpose(1, 2)
    value = fixtures.part("mv", (1, 512, cells)).transpose(1, 2)
    frames = fixtures.modules["mem/parallel_c64"].shape[2] // height
    query = fixtures.part("qk", (1, 64, frames, height, width), 0.9)[:, :, 0].flatten(2).transpose(1, 2)
    assert query.shape[1] == queries
    fixtures.check("mem/affinity_top20", attention_read(query, key, torch.eye(cells)[None], top_k=20).transpose(1, 2))
    for name in names:
        top_k = int(re.search(r"top(\d+)", name)[1])
        read = attention_read(query, key, value, top_k=top_k).transpose(1, 2).unflatten(2, (height, width))
        fixtures.check(name, read)


def test_memory_with_a_transient_frame(fixtures, network):
    """The bank itself, frame by frame, and all frames of a clip read at once."""
    cells = fixtures.modules["mem/affinity_top20"].shape[1]
    height, width = fixtures.modules["mem/with_temp_c32"].shape[-2:]
    frames = fixtures.modules["mem/parallel_c64"].shape[2] // height
    key = fixtures.part("mk", (1, 64, cells), 0.9).unflatten(2, (-1, height, width))
    value = fixtures.part("mv", (1, 512, cells)).unflatten(2, (-1, height, width))
    query = fixtures.part("qk", (1, 64, frames, height, width), 0.9)
    bank = network.memory.empty(key[:, None, :, 0], value[:, None, :, 0])
    for t in range(key.shape[2]):
        bank = network.memory.write(bank, key[:, None, :, t], value[:, None, :, t], keep=True)
    read = network.memory.read(bank, query)
    fixtures.check("mem/parallel_c64", read[:, 0].flatten(2, 3))
    key = fixtures.part("tempk", (1, 64, 1, height, width), 0.9)[:, None, :, 0]
    value = fixtures.part("tempv", (1, 512, 1, height, width))[:, None, :, 0]
    bank = network.memory.write(bank, key, value, keep=False)
    fixtures.check("mem/with_temp_c32", network.memory.read(bank, query[:, :, :1])[:, 0, :, 0])


def test_aggregation(fixtures):
    probs = torch.from_numpy(fixtures.modules["aggregate/in"])[None]
    result = soft_aggregate(probs, torch.ones(probs.shape[:2], dtype=torch.bool))[0].softmax(0)
    fixtures.check("aggregate/keep_bg", result)
    fixtures.check("aggregate/no_bg", result[1:])


def test_decoder(fixtures, network):
    decoder = network.decoder
    count, _, height, width = fixtures.modules["decoder/compress_c16"].shape
    value, thin = fixtures.part("dec16", (count, 1024, height, width)).chunk(2, 1)
    f8 = fixtures.part("dec8", (count, 512, 2 * height, 2 * width)).relu()
    f4 = fixtures.part("dec4", (count, 256, 4 * height, 4 * width)).relu()
    fixtures.check("decoder/compress_c16", decoder.compress(value, decoder.compress.frame_half(thin)))
    frame = decoder.prepare((thin[:, None], f8[:, None], f4[:, None]))
    logits = decoder(value[:, None, :, None], frame)[:, 0]
    size = fixtures.modules["decoder/logit"].shape[-2:]
    fixtures.check("decoder/logit", F.interpolate(logits, size, mode="bilinear", align_corners=False))


def test_padding(fixtures):
    for name in fixtures.modules.files:
        if match := re.fullmatch(r"pad/(\d+)x(\d+)", name):
            geometry = Engine().geometry((int(match[1]), int(match[2])), vosfw.interfaces.Grid(16, "pad"))
            left, right, top, bottom, *padded = fixtures.modules[name].tolist()
            assert geometry.margins == (left, right, top, bottom)
            assert geometry.padded == tuple(padded)


def rollout(network, frames, labels, valid):
    """Logits of frames 1, 2, ... as in training: each is remembered with its prediction."""
    features = network.encode(frames)
    state = network.init_state(features.at(0), ObjectMasks.from_labels(labels[:, 0], valid))
    logits = []
    for t in range(1, frames.shape[1]):
        predicted, state = network.segment(features.at(t), state)
        logits.append(predicted[:, 0])
        masks = ObjectMasks(logits[-1].softmax(1), valid, torch.ones_like(logits[-1][:, :1]))
        state = network.memorize(features.at(t), masks, state, keep=True)
    return logits


@pytest.mark.parametrize("case", ["so", "mo"])
def test_training(case, fixtures, trained, folder):
    network = fixtures.network(folder, UNLIMITED, mask_channels={"so": 1, "mo": 2}[case]).train()
    golden = {name.partition("/")[2]: trained[name] for name in trained.files if name.startswith(case)}
    classes = torch.from_numpy(golden["cls_gt"])
    valid = torch.stack([(classes == k).flatten(1).any(1) for k in range(1, int(classes.max()) + 1)], dim=1)
    samples, length, height, width = classes.shape
    frames = fixtures.rules.tensor("stcn/train/rgb", (samples, length, 3, height, width))
    mean, std = (torch.from_numpy(x)[:, None, None] for x in (fixtures.rules.MEAN, fixtures.rules.STD))
    logits = rollout(network, torch.from_numpy(frames) * std + mean, classes, valid)
    used = F.pad(valid, (1, 0), value=True)
    for name, wanted in golden.items():
        if match := re.fullmatch(r"(logits|mask)_(\d+)_s(\d+)", name):
            predicted, step = logits[int(match[2]) - 1], int(match[3])
            atol = 1e-4 * predicted[used].abs().max()
            got = predicted[..., ::step, ::step]
            if match[1] == "mask":
                # A softmax changes by at most half of what its logits change.
                got, atol = got.softmax(1)[:, 1:], atol / 2
            among = used[:, -got.shape[1] :]
            torch.testing.assert_close(got[among], torch.from_numpy(wanted)[among], atol=atol.item(), rtol=0)
    loss = BootstrappedCE()
    for name, numbers in golden.items():
        if match := re.fullmatch(r"loss_it(\d+)", name):
            progress = int(match[1]) / loss.total
            parts = [loss(x, classes[:, t], valid, progress).item() for t, x in enumerate(logits, start=1)]
            np.testing.assert_allclose([sum(parts), *parts, loss.share(progress)], numbers, rtol=1e-5)


def test_bootstrapped_loss(fixtures, trained):
    """The fixture takes the hardest pixels of both samples together: they enter as one tall image."""
    labels = torch.from_numpy(trained["bce/target"])
    classes = int(labels.max()) + 1
    logits = fixtures.rules.tensor("stcn/train/bce_logit", (len(labels), classes, *labels.shape[1:]), scale=2.0)
    tall = torch.from_numpy(logits).transpose(0, 1).flatten(1, 2)[None]
    valid = torch.ones(1, classes - 1, dtype=torch.bool)
    loss = BootstrappedCE()
    for name in trained.files:
        if match := re.fullmatch(r"bce/it(\d+)", name):
            progress = int(match[1]) / loss.total
            got = loss(tall, labels.flatten(0, 1)[None], valid, progress).item()
            np.testing.assert_allclose([got, loss.share(progress)], trained[name], rtol=1e-5)


def pytest_generate_tests(metafunc):
    if "scene_name" in metafunc.fixturenames:
        path = metafunc.config.getoption("golden")
        metafunc.parametrize("scene_name", json.loads((path / "stcn/forward.json").read_text()))


def test_sequence(scene_name, fixtures, folder):
    scene = fixtures.scenes[scene_name]
    network = fixtures.network(folder, UNLIMITED, salt=scene["salt"])
    network.memory.top_k = scene["top_k"]
    stored = f"{scene['clip']}/labels"
    labels = fixtures.forward[stored] if stored in fixtures.forward.files else None
    video = GoldenVideo(fixtures.rules, scene, scene["appear"], labels)
    youtube = scene["core"] == "yv"
    policy = IntervalPolicy(
        scene["mem_every"],
        anchor="last_kept" if youtube else "start",
        recent=scene["include_last"],
        process_unwanted=youtube,
    )
    engine = Engine(policy)
    steps = {step.frame: step for step in engine.run(network, video, "cpu")}

    check_sequence(fixtures.forward, scene_name, scene, steps)
    check_masks(fixtures.forward, scene_name, scene, steps, engine, network)
