import torch

from vosfw.model.decoder.propagate import PropagateDecoder


def test_before_training_the_read_mask_is_the_result():
    torch.manual_seed(0)
    decoder = PropagateDecoder(6, (5, 4), widths=(8, 8), gain=3.0)
    value = torch.randn(2, 3, 6, 2, 4, 5)
    skips = (torch.rand(2, 2, 5, 4, 5), torch.rand(2, 2, 4, 8, 10))
    logits = decoder(value, decoder.prepare(skips))
    assert logits.shape == (2, 2, 3, 8, 10)
    for batch, frame, slot in ((0, 0, 0), (1, 1, 2), (0, 1, 1)):
        mask = torch.nn.functional.interpolate(value[batch, slot, 0, frame][None, None], (8, 10), mode="bilinear")
        torch.testing.assert_close(logits[batch, frame, slot], 3.0 * mask[0, 0], atol=0.05, rtol=0)


def test_training_moves_it_away_from_the_mask():
    torch.manual_seed(0)
    decoder = PropagateDecoder(6, (5, 4), widths=(8, 8))
    value, skips = torch.randn(1, 1, 6, 1, 4, 5), (torch.rand(1, 1, 5, 4, 5), torch.rand(1, 1, 4, 8, 10))
    decoder(value, decoder.prepare(skips)).square().mean().backward()
    assert decoder.pred.weight.grad.abs().sum() > 0
    assert decoder.gain.grad.abs() > 0
