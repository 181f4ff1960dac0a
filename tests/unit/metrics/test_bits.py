import cv2
import numpy as np
import plain_metrics
import pytest
import torch

from vosfw.metrics.bits import boundaries, dilate, pack, popcount, separate


def padded(masks, margin):
    """Masks [2, Y, X] with empty margins right and below, up to whole words."""
    height, width = masks.shape[1:]
    out = np.zeros((2, height + margin, -(-(width + margin) // 64) * 64), np.uint8)
    out[:, :height, :width] = masks
    return out


def unpacked(words):
    return np.unpackbits(np.asarray(words).view(np.uint8), axis=-1, bitorder="little")


@pytest.fixture(params=["numpy", "torch"])
def kind(request):
    """Turns an array into the kind under test."""
    return np.asarray if request.param == "numpy" else torch.from_numpy


def test_pack_puts_the_first_pixel_lowest(kind):
    flags = np.zeros((2, 128), np.uint8)
    flags[0, [0, 3]] = flags[1, 127] = 1
    assert np.asarray(pack(kind(flags))).view(np.uint64).tolist() == [[9, 0], [0, 1 << 63]]


def test_pack_keeps_every_pixel(kind):
    flags = np.random.default_rng(0).integers(0, 2, (3, 5, 192)).astype(np.uint8)
    assert np.array_equal(unpacked(pack(kind(flags))), flags)


def test_popcount(kind):
    octets = np.random.default_rng(0).integers(0, 256, (50, 8)).astype(np.uint8)
    octets[:3] = [[0] * 8, [255] * 8, [0] * 7 + [128]]
    words = pack(kind(np.unpackbits(octets, axis=1, bitorder="little")))
    assert popcount(words)[:, 0].tolist() == [int.from_bytes(word.tobytes(), "little").bit_count() for word in octets]


@pytest.mark.parametrize("slots", [1, 2, 3, 7, 8, 100, 254])
def test_separate_gives_the_mask_of_every_label(kind, slots):
    labels = np.random.default_rng(slots).integers(0, 256, (4, 64)).astype(np.uint8)
    allowed = np.random.default_rng(1).integers(0, 2, (4, 64)).astype(np.uint8) & (labels <= slots)
    planes = [pack(kind((labels >> digit) & 1)) for digit in range(slots.bit_length())]
    masks = unpacked(separate(planes, pack(kind(allowed)), slots))
    wanted = (labels == np.arange(1, slots + 1)[:, None, None]) & (allowed > 0)
    assert np.array_equal(masks, wanted)


@pytest.mark.parametrize("radius", [1, 1.5, 2, 3, 5, 8, 18, 40, 63, 64, 70, 130])
def test_dilate_is_dilation_by_a_disk(kind, radius):
    masks = (np.random.default_rng(0).random((2, 50, 150)) < 0.003).astype(np.uint8)
    masks[:, 0, 0] = masks[:, -1, -1] = masks[0, 0, -1] = masks[1, -1, 0] = 1
    grown = dilate(pack(kind(padded(masks, int(radius)))), float(radius))
    for mask, result in zip(masks, unpacked(grown), strict=True):
        assert np.array_equal(result[:50, :150], cv2.dilate(mask, plain_metrics.disk(radius)))


@pytest.mark.parametrize("width", [63, 64, 65, 128, 150])
def test_boundaries_repeat_the_last_row_and_column(kind, width):
    masks = np.random.default_rng(0).integers(0, 2, (2, 9, width)).astype(np.uint8)
    words = pack(kind(padded(masks, 2)))
    edge = np.zeros((1, words.shape[-1] * 64), np.uint8)
    edge[0, width - 1] = 1
    rows = (kind(np.array([8])), kind(np.array([10])))
    found = unpacked(boundaries(words, pack(kind(edge)), *rows))
    assert np.array_equal(found[:, :9, :width], [plain_metrics.boundary(mask) for mask in masks])
    assert not found[:, 9:].any()
    assert not found[:, :, width:].any()
