"""Layers are looked at as a browser would: as RGBA pixels."""

import base64
import io

import numpy as np
import torch
from PIL import Image

from vosfw.report.pictures import ERRORS, OBJECTS, Size, entropy_layer, error_layer, frame_picture, mask_layer
from vosfw.types import VOID

SIZE = Size(4, 6)


def pixels(address):
    kind, _, text = address.partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    return np.array(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA"))


def test_sizes_shrink_and_never_grow():
    assert Size.within((240, 427), 480) == (240, 427)
    assert Size.within((1080, 1920), 480) == (270, 480)


def test_objects_are_tinted_and_outlined():
    labels = torch.zeros(8, 8, dtype=torch.uint8)
    labels[1:6, 1:6], labels[7, 7] = 2, VOID
    drawn = pixels(mask_layer(labels, Size(8, 8)))
    assert drawn[3, 3].tolist() == [*OBJECTS[1], 110] and drawn[1, 3].tolist() == [*OBJECTS[1], 255]
    assert drawn[0, 0, 3] == drawn[7, 7, 3] == 0


def test_objects_beyond_the_colours_start_again():
    labels = torch.full((8, 8), len(OBJECTS) + 1, dtype=torch.uint8)
    assert pixels(mask_layer(labels, Size(8, 8)))[4, 4, :3].tolist() == list(OBJECTS[0])


def test_errors_have_their_colours():
    predicted = torch.tensor([[0, 1, 0, 1, 2, 1]] * 4, dtype=torch.uint8)
    truth = torch.tensor([[0, 0, 1, 1, 1, VOID]] * 4, dtype=torch.uint8)
    row = pixels(error_layer(predicted, truth, SIZE))[2]
    wanted = [ERRORS[name] for name in ("false", "missed", "right", "confused")]
    assert [tuple(pixel[:3]) for pixel in row[1:5].tolist()] == wanted
    assert row[0, 3] == row[5, 3] == 0 and row[1, 3] > row[3, 3] > 0


def test_uncertainty_grows_from_nothing():
    grey = np.array([[0, 60, 120, 180, 240, 255]] * 4, np.uint8)
    row = pixels(entropy_layer(grey, SIZE))[1]
    assert row[0, 3] == 0 and (np.diff(row[:, 3].astype(int)) >= 0).all() and row[5, 3] >= 240
    assert row[5, :3].sum() > row[2, :3].sum()


def test_frames_of_either_kind():
    frame = torch.zeros(3, 8, 12, dtype=torch.uint8)
    frame[0] = 200
    assert abs(pixels(frame_picture(frame, SIZE)).astype(int) - [200, 0, 0, 255]).max() < 12
    # Noise may leave 0..1.
    assert abs(pixels(frame_picture(frame / 100.0, SIZE)).astype(int) - [255, 0, 0, 255]).max() < 12
