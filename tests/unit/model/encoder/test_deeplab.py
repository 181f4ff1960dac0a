import pytest
import torch
from torch import nn

from vosfw.errors import ConfigError
from vosfw.model.encoder.deeplab import DeepLabEncoder
from vosfw.model.layers.batch_norm import FrozenBatchNorm, SyncBatchNorm

THIN = {"options": {"channels": [8, 8, 16, 16]}, "width": 32, "low_width": 8}


def dilations(encoder):
    return {
        (name, layer.dilation[0], layer.padding[0])
        for name, layer in encoder.backbone.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.dilation != (1, 1) and layer.kernel_size != (1, 1)
    }


def strides(encoder):
    layers = encoder.backbone.named_modules()
    return {
        name for name, layer in layers if isinstance(layer, nn.Conv2d | nn.MaxPool2d) and layer.stride in (2, (2, 2))
    }


@pytest.mark.parametrize(("height", "width"), [(65, 81), (97, 65), (64, 80), (50, 71)])
def test_levels(height, width):
    encoder = DeepLabEncoder("resnet18", **THIN).eval()
    low_channels = encoder.backbone.feature_info.channels()[0]
    levels = encoder(torch.rand(2, 3, height, width))
    assert encoder.strides == (4, 4) and encoder.out_channels == (32, low_channels)
    size = ((height - 1) // 4 + 1, (width - 1) // 4 + 1)
    assert [tuple(level.shape) for level in levels] == [(2, channels, *size) for channels in encoder.out_channels]


def test_dilations_of_bottlenecks():
    for name in ("resnet101", "resnet50"):
        with torch.device("meta"):
            encoder = DeepLabEncoder(name)
        assert dilations(encoder) == {(f"layer4.{i}.conv2", rate, rate) for i, rate in enumerate((2, 4, 8))}
        down = {"layer2.0.conv2", "layer2.0.downsample.0", "layer3.0.conv2", "layer3.0.downsample.0"}
        assert strides(encoder) == {"conv1", "maxpool", *down}
        assert encoder.out_channels == (256, 256)


def test_dilations_of_basic_blocks():
    encoder = DeepLabEncoder("resnet18", **THIN)
    assert dilations(encoder) == {(f"layer4.{i}.conv{j}", r, r) for i, r in enumerate((2, 4)) for j in (1, 2)}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mobilenetv2_050", {("5.0", 2, 2), ("5.1", 4, 4), ("5.2", 8, 8), ("6.0", 2, 2)}),
        ("mobilenetv3_large_075", {("5.0", 2, 4), ("5.1", 4, 8), ("5.2", 8, 16)}),
    ],
)
def test_dilations_of_mobilenets(name, wanted):
    encoder = DeepLabEncoder(name, width=16, low_width=8).eval()
    assert dilations(encoder) == {(f"blocks.{block}.conv_dw", rate, padding) for block, rate, padding in wanted}
    levels = encoder(torch.rand(1, 3, 65, 81))
    assert [tuple(level.shape[1:]) for level in levels] == [(c, 17, 21) for c in encoder.out_channels]
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in encoder.modules())


def test_multi_grid_is_an_option():
    encoder = DeepLabEncoder("resnet18", multi_grid=[1], **THIN)
    assert {rate for _, rate, _ in dilations(encoder)} == {2}


@pytest.mark.parametrize("norm", ["frozen", "sync"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_050"])
def test_norms(name, norm):
    options = {**THIN, "options": None if name.startswith("mobile") else THIN["options"]}
    encoder = DeepLabEncoder(name, norm=norm, **options).train()
    frames = torch.rand(1, 3, 33, 49)
    before = {key: value.clone() for key, value in encoder.state_dict().items() if "running" in key}
    sum(level.square().mean() for level in encoder(frames)).backward()
    after = encoder.state_dict()
    pooled = encoder.aspp.pool[1]
    # The pooled map of a single frame has one value per channel, of which there are no statistics.
    single = [key for key in before if key.startswith("aspp.pool.1")]
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == (set() if norm == "frozen" else set(before) - set(single))
    assert isinstance(pooled, FrozenBatchNorm if norm == "frozen" else SyncBatchNorm)
    convolutions = {f"{k}.weight" for k, layer in encoder.named_modules() if isinstance(layer, nn.Conv2d)}
    biases = {f"{k}.bias" for k, m in encoder.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None}
    trained = dict(encoder.named_parameters())
    assert all(value.grad is not None for value in trained.values())
    assert (set(trained) == convolutions | biases) == (norm == "frozen")
    assert any("num_batches" in key for key in after) == (norm == "sync")


def test_both_norms_compute_the_same_in_evaluation():
    torch.manual_seed(0)
    frozen = DeepLabEncoder("mobilenetv2_050", width=16, low_width=8).eval()
    sync = DeepLabEncoder("mobilenetv2_050", width=16, low_width=8, norm="sync").eval()
    state = frozen.state_dict()
    for key in state:
        if "running_mean" in key:
            state[key] = torch.rand(state[key].shape) - 0.5
    frozen.load_state_dict(state)
    assert not any("num_batches" not in key for key in sync.load_state_dict(state, strict=False).missing_keys)
    frames = torch.rand(1, 3, 33, 49)
    for a, b in zip(frozen(frames), sync(frames), strict=True):
        torch.testing.assert_close(a, b)


def test_low_precision():
    encoder = DeepLabEncoder("resnet18", **THIN).eval()
    frames = torch.rand(1, 3, 33, 49)
    wanted = encoder(frames)
    with torch.autocast("cpu", torch.bfloat16):
        for a, b in zip(encoder(frames), wanted, strict=True):
            torch.testing.assert_close(a.float(), b, atol=0.05 * b.max().item(), rtol=0)


def test_dropout_is_on_in_training_only():
    encoder = DeepLabEncoder("resnet18", dropout=0.5, **THIN)
    frames = torch.rand(1, 3, 33, 49)
    for training in (True, False):
        encoder.train(training)
        assert torch.equal(encoder(frames)[0], encoder(frames)[0]) != training


@pytest.mark.parametrize("bgr", [False, True])
def test_the_padding_colour_becomes_zero_at_full_resolution(bgr):
    encoder = DeepLabEncoder("resnet18", bgr=bgr, **THIN)
    assert encoder.pad_color == ((0.406, 0.456, 0.485) if bgr else (0.485, 0.456, 0.406))
    color = torch.tensor(encoder.pad_color)[None, :, None, None].expand(1, 3, 481, 849)
    assert not encoder.normalize(color).any()


def test_bgr_reaches_the_backbone():
    torch.manual_seed(0)
    rgb = DeepLabEncoder("resnet18", **THIN).eval()
    bgr = DeepLabEncoder("resnet18", bgr=True, **THIN).eval()
    bgr.load_state_dict(rgb.state_dict())
    frames = torch.rand(1, 3, 33, 49)
    for a, b in zip(rgb(frames.flip(1)), bgr(frames), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"pretrained": True, "bgr": True}, "expect RGB"),
        ({"multi_grid": []}, "multi_grid"),
        ({"rates": [0]}, "rates"),
        ({"norm": "group"}, "wanted frozen or sync"),
        ({"name": "resnet1O1"}, "did you mean"),
        ({"name": "vit_tiny_patch16_224"}, "no feature maps at strides"),
        ({"name": "resnet18", "options": {"bogus": 1}}, "bogus"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ConfigError, match=match):
        DeepLabEncoder(**options)
