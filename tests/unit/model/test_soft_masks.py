"""Soft masks in the matching family: equal to hard ones where masks are one-hot, and open to gradients."""

import pytest
import torch
from scenes import make_clip
from small_matching import small_matching
from torch.utils import _pytree as pytree

from vosfw.config import compose
from vosfw.ops.proxies import cluster_means
from vosfw.types import ObjectMasks

NAMES = ["cfbi", "rpcm", "aoc", "aoc_released"]


def pair(name, modulator="p2c"):
    """The same network with hard and with soft masks."""
    hard = small_matching(name, modulator)
    soft = small_matching.__wrapped__(name, modulator, options=("model.soft_masks=true",))
    soft.load_state_dict(hard.state_dict())
    for network in (hard, soft):
        network.requires_grad_(False)
    return hard, soft


def scene(network, objects=2, size=(33, 49)):
    """Features of two frames and the one-hot masks of both."""
    clip = make_clip(batch=1, frames=2, slots=objects, size=size)
    features = network.encode(clip.frames)
    masks = [ObjectMasks.from_labels(clip.labels[:, t], clip.valid) for t in range(2)]
    return features, masks, clip


def softened(masks, amount=0.3, seed=0):
    """Soft masks whose most likely class is the one-hot one."""
    noise = torch.rand(masks.probs.shape, generator=torch.Generator().manual_seed(seed))
    noise = noise / noise.sum(1, keepdim=True)
    return masks._replace(probs=(1 - amount) * masks.probs + amount * noise)


def reconstruct(network, features, masks, first=0):
    """Logits of a frame that is read from another one alone."""
    state = network.init_state(features.at(1), masks)
    return network.segment(features.at(first), state)[0]


def test_gradient_is_announced_only_with_the_option():
    hard, soft = pair("cfbi")
    assert not hard.mask_gradient and soft.mask_gradient
    assert compose(["model=aoc"]).model.soft_masks is False


@pytest.mark.parametrize("name", NAMES)
def test_one_hot_masks_give_the_same_bits(name):
    hard, soft = pair(name)
    features, masks, _ = scene(hard)
    void = masks[0]._replace(weight=(torch.arange(49) > 8).float().expand(1, 1, 33, 49))
    states = [network.init_state(features.at(0), void) for network in (hard, soft)]
    for keep in (False, True):
        logits, after = zip(
            *(network.segment(features.at(1), state) for network, state in zip((hard, soft), states, strict=True)),
            strict=True,
        )
        assert torch.equal(*logits)
        states = [
            network.memorize(features.at(1), masks[1], state, keep=keep)
            for network, state in zip((hard, soft), after, strict=True)
        ]
    spread = states[1]._replace(previous=states[1].previous._replace(soft=()))
    for one, other in zip(pytree.tree_leaves(states[0]), pytree.tree_leaves(spread), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_soft_masks_differ_from_hard_ones(name):
    hard, soft = pair(name)
    features, masks, _ = scene(hard)
    found = [reconstruct(network, features, softened(masks[1])) for network in (hard, soft)]
    assert torch.equal(found[0], reconstruct(hard, features, masks[1]))
    assert not torch.allclose(*found, atol=1e-6)


def routes(name):
    """The state's leaves that depend on the masks, by route; everything else is cut off."""
    _, soft = pair(name)
    features, masks, _ = scene(soft)
    probs = softened(masks[1]).probs.requires_grad_()
    state = soft.init_state(features.at(1), masks[1]._replace(probs=probs))
    cut = pytree.tree_map(lambda x: x.detach() if isinstance(x, torch.Tensor) else x, state)
    return soft, features, probs, state, cut


def gradient(soft, features, probs, state):
    logits = soft.segment(features.at(0), state)[0]
    return torch.autograd.grad(logits.log_softmax(2)[:, :, 1].mean(), probs)[0]


def alone(route, state, cut):
    reference, cut_reference = state.references.given[0], cut.references.given[0]
    if route == "previous mask":
        return cut._replace(previous=cut.previous._replace(soft=state.previous.soft))
    if route == "descriptors":
        references = cut.references._replace(given=(cut_reference._replace(sums=reference.sums),))
        return cut._replace(references=references, previous_sums=state.previous_sums)
    references = cut.references._replace(given=(cut_reference._replace(index=reference.index),))
    return cut._replace(references=references, previous=cut.previous._replace(index=state.previous.index))


@pytest.mark.parametrize(
    ("name", "route"),
    [
        ("cfbi", "previous mask"),
        ("cfbi", "descriptors"),
        ("rpcm", "previous mask"),
        ("rpcm", "descriptors"),
        ("aoc", "previous mask"),
        ("aoc", "descriptors"),
        ("aoc", "proxies"),
        ("aoc_released", "proxies"),
    ],
)
def test_gradient_reaches_masks_by_each_route(name, route):
    soft, features, probs, state, cut = routes(name)
    found = gradient(soft, features, probs, alone(route, state, cut))
    assert found.isfinite().all()
    assert (found.abs().sum((0, 2, 3)) > 0).all(), "no gradient of a class"


@pytest.mark.parametrize("name", ["cfbi", "rpcm"])
def test_pixel_matching_alone_stays_hard(name):
    _, _, _, state, _ = routes(name)
    assert not any(leaf.requires_grad for leaf in pytree.tree_leaves(state.references.given[0].index))
    assert not state.previous.masks.requires_grad


def test_masked_embeddings_take_soft_masks():
    _, soft = pair("cfbi")
    query = torch.randn(1, 8, 9, 13, generator=torch.Generator().manual_seed(0))
    features, masks, _ = scene(soft)
    probs = softened(masks[1]).probs.requires_grad_()
    state = soft.init_state(features.at(1), masks[1]._replace(probs=probs))
    valid = torch.ones(1, 3, dtype=torch.bool)
    maps, head = torch.zeros(1, 3, soft.matcher.out_channels, 9, 13), torch.zeros(1, 3, 32)
    x, _ = soft.ensembler(query, maps, state.previous, head, valid)
    assert torch.autograd.grad(x.square().sum(), probs)[0].abs().sum() > 0


@pytest.mark.parametrize("name", ["cfbi", "rpcm", "aoc"])
def test_gradient_is_that_of_finite_differences(name):
    # Correction modulators remember their input without gradient, as released, so there is none here.
    _, soft = pair(name, "none")
    features, masks, _ = scene(soft, size=(65, 97))
    probs = softened(masks[1], 0.4).probs.requires_grad_()

    def loss(probs):
        return reconstruct(soft, features, masks[1]._replace(probs=probs)).double().tanh().square().mean()

    found = torch.autograd.grad(loss(probs), probs)[0]
    direction, step = found / found.norm(), 3e-3
    with torch.no_grad():
        difference = (loss(probs + step * direction) - loss(probs - step * direction)) / (2 * step)
    assert float(difference) == pytest.approx(float(found.norm()), rel=0.02)


def test_weighted_means_of_clusters():
    points = torch.tensor([[[1.0], [2.0], [4.0], [8.0]]])
    owner, cluster = torch.tensor([[0, 0, 1, 2]]), torch.tensor([[0, 0, 0, 0]])
    means, count = cluster_means(points, owner, cluster, 2, 1, torch.tensor([[0.25, 0.75, 0.5, 0.9]]))
    assert means[0, :, 0].tolist() == [[1.75], [4.0]] and count[0, :, 0].tolist() == [2, 1]
    same = [cluster_means(points, owner, cluster, 2, 1, weights)[0] for weights in (None, torch.ones(1, 4))]
    assert torch.equal(*same)


@pytest.mark.parametrize("name", ["cfbi", "rpcm", "aoc"])
def test_slots_permute_and_empty_ones_change_nothing(name):
    # Over several frames a network with random weights blows rounding up, which hard masks cut off.
    _, soft = pair(name)
    features, masks, _ = scene(soft, size=(65, 97))
    masks = softened(masks[1])
    wanted = reconstruct(soft, features, masks)
    swapped = reconstruct(soft, features, masks._replace(probs=masks.probs[:, [0, 2, 1]]))
    torch.testing.assert_close(swapped[:, :, [0, 2, 1]], wanted, atol=1e-3, rtol=1e-3)
    more = ObjectMasks(
        torch.cat([masks.probs, torch.zeros_like(masks.probs[:, :1])], 1),
        torch.tensor([[True, True, False]]),
        masks.weight,
    )
    torch.testing.assert_close(reconstruct(soft, features, more)[:, :, :3], wanted, atol=1e-3, rtol=1e-3)
