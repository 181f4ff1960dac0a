import torch

from vosfw.ops.aggregate import UNUSED_LOGIT, logits_of, soft_aggregate


def aggregate(probs, valid=None):
    probs = torch.tensor(probs)[None]
    return soft_aggregate(probs, torch.tensor([valid or [True] * probs.shape[1]]))[0].softmax(0)


def test_one_object():
    """Odds 3 and 1/3, normalised."""
    torch.testing.assert_close(aggregate([[0.75]]), torch.tensor([[0.1], [0.9]]))


def test_two_objects():
    """The background is 0.5 * 0.5 = 0.25, of odds 1/3 beside 1 and 1."""
    torch.testing.assert_close(aggregate([[0.5], [0.5]]), torch.tensor([[1 / 7], [3 / 7], [3 / 7]]))


def test_certainty_stays_finite():
    logits = soft_aggregate(torch.tensor([[[0.0, 1.0], [1.0, 1.0]]]), torch.ones(1, 2, dtype=torch.bool))
    assert logits.isfinite().all()
    probs = logits.softmax(1)
    assert probs[0, 1, 0] < 1e-6
    torch.testing.assert_close(probs[0, 1:, 1], torch.tensor([0.5, 0.5]))


def test_unused_slots_change_nothing():
    plain = aggregate([[0.3], [0.6]])
    padded = aggregate([[0.3], [0.9], [0.6]], [True, False, True])
    torch.testing.assert_close(padded[[0, 1, 3]], plain)
    assert padded[2].item() == 0
    logits = soft_aggregate(torch.full((1, 1, 2), 0.5), torch.zeros(1, 1, dtype=torch.bool))
    assert (logits[:, 1] == UNUSED_LOGIT).all()


def test_no_objects():
    assert soft_aggregate(torch.zeros(1, 0, 2, 3), torch.zeros(1, 0, dtype=torch.bool)).shape == (1, 1, 2, 3)


def test_gradient_is_that_of_the_formula():
    probs = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0)).mul(0.8).add(0.1).requires_grad_()
    soft_aggregate(probs, torch.ones(2, 3, dtype=torch.bool)).softmax(1)[:, 0].sum().backward()
    p = probs.detach().double().requires_grad_()
    every = torch.cat([(1 - p).prod(1, keepdim=True), p], dim=1)
    odds = every / (1 - every)
    (odds[:, 0] / odds.sum(1)).sum().backward()
    torch.testing.assert_close(probs.grad, p.grad.float(), atol=1e-5, rtol=1e-4)


def test_single_precision_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        logits = soft_aggregate(torch.rand(1, 2, 4).bfloat16(), torch.ones(1, 2, dtype=torch.bool))
    assert logits.dtype == torch.float32


def test_logits_of_probabilities_and_their_gradient():
    """Of a class that has none too: the plain logarithm's gradient there is NaN."""
    raw = torch.tensor([[0.5, 2.0, UNUSED_LOGIT]], requires_grad=True)
    logits = logits_of(raw.softmax(1))
    assert logits[0, 2] == UNUSED_LOGIT
    torch.testing.assert_close(logits.softmax(1), raw.softmax(1))
    logits.softmax(1)[0, 0].backward()
    other = torch.tensor([[0.5, 2.0]], requires_grad=True)
    other.softmax(1)[0, 0].backward()
    torch.testing.assert_close(raw.grad[:, :2], other.grad)
    assert raw.grad[0, 2] == 0
    assert logits_of(torch.tensor([float("nan")])).isnan().all()
