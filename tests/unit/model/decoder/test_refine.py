import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.model.decoder.refine import RefineDecoder


def build(**options):
    torch.manual_seed(0)
    return RefineDecoder(value_channels=6, skip_channels=(5, 4, 3), widths=(8, 6, 4), **options).eval()


def inputs():
    generator = torch.Generator().manual_seed(1)
    value = torch.randn(2, 3, 6, 2, 3, 4, generator=generator)
    sizes = ((5, 3, 4), (4, 6, 8), (3, 12, 16))
    return value, tuple(torch.randn(2, 2, *size, generator=generator) for size in sizes)


def test_each_object_and_frame_is_decoded_alone():
    decoder, (value, skips) = build(), inputs()
    logits = decoder(value, decoder.prepare(skips))
    assert logits.shape == (2, 2, 3, 12, 16)
    for b, k, t in ((0, 0, 0), (1, 2, 1)):
        frame = decoder.prepare(tuple(s[b : b + 1, t : t + 1] for s in skips))
        alone = decoder(value[b : b + 1, k : k + 1, :, t : t + 1], frame)
        torch.testing.assert_close(alone[0, 0, 0], logits[b, t, k], atol=1e-5, rtol=1e-5)


def test_chunks_change_nothing():
    value, skips = inputs()
    for chunk in (1, 2, 5):
        decoder, whole = build(object_chunk=chunk), build()
        got = decoder(value, decoder.prepare(skips))
        torch.testing.assert_close(got, whole(value, whole.prepare(skips)), atol=1e-5, rtol=1e-5)


def test_inputs_are_left_as_they_were():
    value, skips = inputs()
    kept = [value.clone(), *(skip.clone() for skip in skips)]
    decoder = build()
    prepared = decoder.prepare(skips)
    kept += [each.clone() for each in prepared]
    decoder(value, prepared)
    assert all(torch.equal(a, b) for a, b in zip(kept, (value, *skips, *prepared), strict=True))


@pytest.mark.parametrize("options", [{"object_chunk": 0}, {"widths": (8, 6)}])
def test_options_are_checked(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        RefineDecoder(**{"value_channels": 6, "skip_channels": (5, 4, 3), **options})
