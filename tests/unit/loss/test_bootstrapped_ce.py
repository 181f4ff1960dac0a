import math

import pytest
import torch

from vosfw.errors import ConfigError
from vosfw.loss.bootstrapped_ce import BootstrappedCE, bootstrapped_cross_entropy
from vosfw.types import VOID


def sample(batch=2, classes=3, size=(4, 5)):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, classes, *size, generator=generator)
    return logits, torch.randint(0, classes, (batch, *size), generator=generator)


def plain(logits, labels, ratio):
    """Pixel by pixel."""
    result = []
    for one, truth in zip(logits, labels, strict=True):
        losses = [
            -one[:, y, x].log_softmax(0)[truth[y, x]].item()
            for y in range(truth.shape[0])
            for x in range(truth.shape[1])
            if truth[y, x] != VOID
        ]
        hardest = sorted(losses, reverse=True)[: int(len(losses) * ratio)]
        result.append(sum(hardest) / len(hardest) if hardest else 0.0)
    return torch.tensor(result)


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.15])
@pytest.mark.parametrize("void", [False, True])
def test_mean_of_the_hardest_pixels(ratio, void):
    logits, labels = sample()
    if void:
        labels[1, :2, 1:] = VOID
    got = bootstrapped_cross_entropy(logits, labels, ratio)
    torch.testing.assert_close(got, plain(logits, labels, ratio))


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.15])
def test_unlabelled_pixels_may_count_as_pixels_without_loss(ratio):
    """CFBI: the mean of the k largest losses, k a share of all pixels."""
    logits, labels = sample()
    labels[1, :2, 1:] = VOID
    labels[0, 1:] = VOID
    losses = torch.nn.functional.cross_entropy(logits, labels, ignore_index=VOID, reduction="none").flatten(1)
    expected = losses.topk(int(ratio * 20), dim=1).values.mean(1)
    torch.testing.assert_close(bootstrapped_cross_entropy(logits, labels, ratio, count_void=True), expected)
    valid = torch.ones(2, 2, dtype=torch.bool)
    module = BootstrappedCE(start=0, end=1, ratio=ratio, total=1, count_void=True)
    torch.testing.assert_close(module(logits, labels, valid, 1.0), expected.mean())
    assert not torch.allclose(bootstrapped_cross_entropy(logits, labels, ratio), expected)


def test_nothing_but_void_has_no_loss():
    logits, labels = sample()
    for ratio in (1.0, 0.15):
        loss = bootstrapped_cross_entropy(logits.requires_grad_(), torch.full_like(labels, VOID), ratio)
        assert loss.tolist() == [0, 0]
        loss.sum().backward()
        void = torch.full_like(labels, VOID)
        assert bootstrapped_cross_entropy(logits, void, ratio, count_void=True).tolist() == [0, 0]
        assert logits.grad.abs().sum() == 0


def test_schedule():
    loss = BootstrappedCE()
    for iteration, share in ((0, 1), (20_000, 1), (45_000, 0.575), (70_000, 0.15), (150_000, 0.15)):
        assert math.isclose(loss.share(iteration / 150_000), share)


def test_classes_are_background_and_valid_slots():
    logits, labels = sample()
    labels = labels.clamp_max(1)
    valid = torch.tensor([[True, False], [True, False]])
    got = BootstrappedCE()(logits, labels, valid, 0.0)
    torch.testing.assert_close(got, BootstrappedCE()(logits[:, :2], labels, valid[:, :1], 0.0))


def test_unused_slots_send_no_gradient():
    logits, labels = sample()
    logits.requires_grad_()
    BootstrappedCE()(logits, labels.clamp_max(1), torch.tensor([[True, False]] * 2), 1.0).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[:, 2].abs().sum() == 0
    assert logits.grad[:, :2].abs().sum() > 0


@pytest.mark.parametrize("options", [{"ratio": 0.0}, {"ratio": 1.5}, {"start": 70_000, "end": 70_000}, {"total": 0}])
def test_options_are_checked(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        BootstrappedCE(**options)
