import pytest
import torch
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.model.decoder.stm import STMDecoder


def build(**options):
    torch.manual_seed(0)
    return STMDecoder(value_channels=6, skip_channels=(5, 4, 3), width=8, **options).eval()


def inputs():
    generator = torch.Generator().manual_seed(1)
    value = torch.randn(2, 3, 6, 2, 3, 4, generator=generator)
    sizes = ((5, 3, 4), (4, 5, 7), (3, 10, 14))  # odd sizes, as maps of 79x110 pixels have them
    return value, tuple(torch.randn(2, 2, *size, generator=generator) for size in sizes)


def plain(decoder, x, skips):
    """One object of one frame, with the frame's maps concatenated or added."""

    def conv(layer, x):
        return F.conv2d(x, layer.weight, layer.bias, padding=1)

    def block(layer, x):
        return x + conv(layer.conv2, conv(layer.conv1, x.relu()).relu())

    x = block(decoder.block, conv(decoder.conv, torch.cat([x, skips[0]], 1)))
    for refine, skip in zip(decoder.refines, skips[1:], strict=True):
        side = block(refine.skip_block, conv(refine.skip_conv, skip))
        x = block(refine.block, side + F.interpolate(x, side.shape[-2:], mode="bilinear", align_corners=False))
    logits = conv(decoder.pred, x.relu())
    return logits[:, 1] - logits[:, 0]


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_each_object_and_frame_is_decoded_alone(chunk):
    decoder, (value, skips) = build(object_chunk=chunk), inputs()
    logits = decoder(value, decoder.prepare(skips))
    assert logits.shape == (2, 2, 3, 10, 14)
    for b, k, t in ((0, 0, 0), (1, 2, 1)):
        wanted = plain(decoder, value[b, k, :, t][None], [skip[b, t][None] for skip in skips])
        torch.testing.assert_close(logits[b, t, k], wanted[0], atol=1e-5, rtol=1e-5)


def test_inputs_are_left_as_they_were():
    decoder, (value, skips) = build(), inputs()
    prepared = decoder.prepare(skips)
    kept = [each.clone() for each in (value, *skips, *prepared)]
    decoder(value, prepared)
    assert all(torch.equal(a, b) for a, b in zip(kept, (value, *skips, *prepared), strict=True))


def test_options_are_checked():
    with pytest.raises(ConfigError, match="object_chunk"):
        build(object_chunk=0)
