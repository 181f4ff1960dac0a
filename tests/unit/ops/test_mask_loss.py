import pytest
import torch
from scipy.ndimage import correlate

from vosfw.ops.mask_loss import (
    bootstrapped_cross_entropy,
    mask_iou,
    mask_iou_loss,
    roughness,
    sobel,
    visible_classes,
)
from vosfw.types import VOID


def draw(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_iou_by_hand():
    probs = torch.tensor([[0.5, 0.25], [0.0, 1.0]])[None, None]
    masks = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[None, None]
    assert mask_iou(probs, masks).item() == pytest.approx(1.5 / 2.25)


def test_iou_of_hard_masks_is_jaccard():
    a, b = draw(2, 3, 8, 9) > 0.5, draw(2, 3, 8, 9).flip(0) > 0.3
    expected = (a & b).sum((2, 3)) / (a | b).sum((2, 3))
    torch.testing.assert_close(mask_iou(a.float(), b.float()), expected)


def test_an_object_absent_from_both_is_right_and_has_a_finite_gradient():
    probs = torch.zeros(1, 2, 4, 4, requires_grad=True)
    assert mask_iou(probs, torch.zeros(1, 2, 4, 4)).tolist() == [[1, 1]]
    mask_iou(probs, torch.zeros(1, 2, 4, 4)).sum().backward()
    assert probs.grad.isfinite().all()


def test_iou_loss_is_the_mean_over_the_objects_that_count():
    probs, labels = draw(2, 4, 6, 7).softmax(1), (draw(2, 6, 7) * 4).long()
    masks = torch.stack([labels == k for k in (1, 2, 3)], 1).float()
    each = 1 - mask_iou(probs[:, 1:], masks)
    counted = torch.tensor([[True, True, False, True], [False, False, True, False]])
    expected = torch.stack([each[0, [0, 2]].mean(), each[1, 1]])
    torch.testing.assert_close(mask_iou_loss(probs, labels, counted), expected)
    assert mask_iou_loss(probs, labels, torch.zeros_like(counted)).tolist() == [0, 0]


def test_iou_loss_leaves_void_out():
    probs, labels = draw(1, 3, 6, 7).softmax(1), (draw(1, 6, 7) * 3).long()
    counted = torch.ones(1, 3, dtype=torch.bool)
    void = labels.clone()
    void[:, 4:] = VOID
    torch.testing.assert_close(
        mask_iou_loss(probs, void, counted), mask_iou_loss(probs[:, :, :4], labels[:, :4], counted)
    )


def test_pixels_of_classes_that_do_not_count_have_no_loss():
    logits, labels = draw(1, 3, 4, 5) * 4, (draw(1, 4, 5) * 3).long()
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none").flatten(1)
    for counted in ([True, False, True], [False, True, True]):
        kept = losses * torch.tensor(counted)[labels.flatten(1)]
        for ratio in (1.0, 0.6):
            expected = kept.topk(int(ratio * 20), dim=1).values.mean(1)
            got = bootstrapped_cross_entropy(logits, labels, ratio, counted=torch.tensor([counted]))
            torch.testing.assert_close(got, expected)
    # A class without a logit of its own harms nobody.
    logits[:, 2] = -torch.inf
    got = bootstrapped_cross_entropy(logits, labels, 0.6, counted=torch.tensor([[True, True, False]]))
    assert got.isfinite().all()


def test_sobel_is_scipys():
    maps = draw(1, 2, 7, 9)
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    for got, weights in zip(sobel(maps), (kernel, kernel.T), strict=True):
        for k in range(2):
            expected = correlate(maps[0, k].numpy(), weights.numpy(), mode="nearest")
            torch.testing.assert_close(got[0, k], torch.from_numpy(expected))


def test_roughness_by_hand():
    """A ramp of one per column: 8 along x inside, 4 on the two borders, 0 along y."""
    ramp = torch.arange(5.0).expand(1, 2, 4, 5).clone()
    ramp[:, 1] = torch.rand(4, 5)
    expected = (3 * 64 + 2 * 16) / 5
    assert roughness(ramp, torch.tensor([[True, False]])).item() == pytest.approx(expected)
    assert roughness(ramp, torch.tensor([[False, False]])).item() == 0
    assert roughness(torch.full((1, 1, 4, 5), 0.3), torch.tensor([[True]])).item() == pytest.approx(0, abs=1e-10)


def test_visible_classes():
    labels = torch.tensor([[[0, 2], [VOID, 2]], [[1, 1], [1, 1]], [[VOID] * 2] * 2], dtype=torch.uint8)
    expected = [[True, False, True, False], [False, True, False, False], [False] * 4]
    assert visible_classes(labels, 3).tolist() == expected


def test_sobel_is_exact_under_autocast():
    maps = 0.9 + 1e-3 * torch.rand(1, 2, 6, 8, generator=torch.Generator().manual_seed(0))
    wanted = sobel(maps)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(*pair) for pair in zip(sobel(maps), wanted, strict=True))
