import json
from pathlib import Path

import pytest
import torch

from vosfw.engine.geometry import Geometry
from vosfw.errors import ConfigError
from vosfw.interfaces import Grid

PROTOCOL = json.loads((Path(__file__).parents[2] / "golden" / "protocol.json").read_text())


@pytest.mark.parametrize(
    "case", PROTOCOL["network_input_size"], ids=lambda c: f"{c['h']}x{c['w']}-{c['scale']}-{len(c['scales'])}"
)
def test_sizes_of_the_cfbi_protocol(case):
    limit = 1040 if case["scales"] == [1.0] else 800
    grid = Grid(16, "resize", 1)
    plan = Geometry.plan((case["h"], case["w"]), grid, max_side=limit, scale=case["scale"])
    assert list(plan.padded) == case["out"]
    assert plan.margins == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("size", "margins", "padded"),
    [
        ((100, 130), (7, 7, 6, 6), (112, 144)),
        ((480, 854), (5, 5, 0, 0), (480, 864)),
        ((97, 143), (0, 1, 7, 8), (112, 144)),
    ],
)
def test_padding_puts_the_larger_half_at_the_bottom_right(size, margins, padded):
    plan = Geometry.plan(size, Grid(16, "pad"))
    assert (plan.margins, plan.padded) == (margins, padded)


def test_short_side_enlarges_and_max_side_only_shrinks():
    assert Geometry.plan((240, 432), Grid(), short_side=480).resized == (480, 864)
    assert Geometry.plan((1080, 1920), Grid(), short_side=480).resized == (480, 853)
    assert Geometry.plan((240, 432), Grid(), max_side=1000).resized == (240, 432)
    assert Geometry.plan((240, 432), Grid(), short_side=480, max_side=432).resized == (240, 432)


def test_placing_and_cropping_are_inverse():
    plan = Geometry.plan((30, 50), Grid(16, "pad"))
    frames = torch.rand(2, 3, 30, 50)
    placed = plan.place_frames(frames, (0.5, 0.25, 0.0))
    assert placed.shape[-2:] == (32, 64)
    torch.testing.assert_close(plan.crop(placed), frames)
    assert placed[0, :, 0, 0].tolist() == [0.5, 0.25, 0.0]
    labels = torch.randint(0, 3, (2, 30, 50), dtype=torch.uint8)
    assert torch.equal(plan.crop(plan.place_labels(labels)), labels)
    assert plan.place_labels(labels, pad=255)[0, 0, 0] == 255
    probs = plan.place_probs(torch.rand(1, 3, 30, 50).softmax(1))
    torch.testing.assert_close(probs.sum(1), torch.ones(1, 32, 64))


def test_frames_are_resized_bicubic_and_not_clipped():
    plan = Geometry.plan((16, 16), Grid(16, "pad"), short_side=32)
    frames = torch.zeros(1, 3, 16, 16)
    frames[..., 8:] = 1.0
    placed = plan.place_frames(frames, (0.0, 0.0, 0.0))
    assert placed.max() > 1.0


def test_a_size_that_vanishes_is_refused():
    with pytest.raises(ConfigError, match="would shrink to"):
        Geometry.plan((10, 1000), Grid(), max_side=50)


@pytest.mark.parametrize(
    ("size", "resized", "margins"),
    [
        ((480, 854), (240, 427), (0, 0, 0, 0)),
        ((480, 910), (225, 427), (0, 0, 7, 8)),
        ((720, 480), (240, 160), (133, 134, 0, 0)),
    ],
)
def test_letterbox(size, resized, margins):
    plan = Geometry.plan(size, Grid(), letterbox=(240, 427))
    assert (plan.resized, plan.padded, plan.margins) == (resized, (240, 427), margins)
    assert Geometry.plan(size, Grid(16, "pad"), letterbox=(240, 427)).padded == (240, 432)
