"""What always holds of J and F."""

import numpy as np
import plain_metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vosfw.metrics import j_and_f
from vosfw.metrics.counts import count

QUICK = settings(max_examples=60, deadline=None)


@st.composite
def pairs(draw, most=6, frames=3):
    """Prediction and truth [F, Y, X], number of slots, and a tolerance; blocks of labels, so that there are shapes."""
    slots = draw(st.integers(1, most))
    size = draw(st.integers(1, 40)), draw(st.integers(1, 140))
    shape = (draw(st.integers(1, frames)), -(-size[0] // 4), -(-size[1] // 7))
    labels = st.integers(0, slots)
    maps = [draw(arrays.arrays(np.uint8, shape, elements=labels)).repeat(4, 1).repeat(7, 2) for _ in range(2)]
    shift = draw(st.integers(0, 3))
    pred, truth = (torch.from_numpy(each[:, : size[0], : size[1]].copy()) for each in maps)
    mixed = torch.where(torch.rand(pred.shape, generator=torch.Generator().manual_seed(shift)) < 0.3, pred, truth)
    return (pred if shift == 0 else mixed.roll(shift, 2)), truth, slots, draw(st.sampled_from([0.008, 1.0, 2.5, 9.0]))


@QUICK
@given(pairs())
def test_equals_the_plain_implementation(pair):
    pred, truth, slots, bound_th = pair
    found = torch.stack(j_and_f(pred, truth, slots, bound_th=bound_th))
    wanted = torch.from_numpy(plain_metrics.j_and_f(pred.numpy(), truth.numpy(), slots, None, bound_th))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@QUICK
@given(pairs())
def test_a_mask_equals_itself(pair):
    _, truth, slots, bound_th = pair
    j, f = j_and_f(truth, truth, slots, bound_th=bound_th)
    assert bool((j == 1).all())
    assert bool((f == 1).all())


@QUICK
@given(pairs())
def test_both_are_shares_and_symmetric(pair):
    pred, truth, slots, bound_th = pair
    there, back = (torch.stack(j_and_f(*maps, slots, bound_th=bound_th)) for maps in ((pred, truth), (truth, pred)))
    assert bool(((there >= 0) & (there <= 1)).all())
    torch.testing.assert_close(there, back, rtol=0, atol=1e-15)


@QUICK
@given(pairs(), st.randoms(use_true_random=False))
def test_permuted_slots_permute_the_values(pair, random):
    pred, truth, slots, bound_th = pair
    order = random.sample(range(slots), slots)
    table = torch.tensor([0, *(slot + 1 for slot in order)])
    values = torch.stack(j_and_f(pred, truth, slots, bound_th=bound_th))
    moved = torch.stack(j_and_f(table[pred.long()], table[truth.long()], slots, bound_th=bound_th))
    assert torch.equal(moved[:, :, order], values)


@QUICK
@given(pairs())
def test_a_batch_is_a_loop_over_frames_and_objects(pair):
    pred, truth, slots, bound_th = pair
    batch = torch.stack(j_and_f(pred, truth, slots, bound_th=bound_th))
    for frame in range(len(pred)):
        for slot in range(slots):
            alone = ((each[frame : frame + 1] == slot + 1).to(torch.uint8) for each in (pred, truth))
            assert torch.equal(batch[:, frame, slot], torch.stack(j_and_f(*alone, 1, bound_th=bound_th))[:, 0, 0])


@QUICK
@given(pairs(), st.tuples(*[st.integers(1, 90)] * 4))
def test_empty_surroundings_do_not_matter(pair, margins):
    """The same objects in a wider frame: where they are cut out must not show."""
    pred, truth, slots, _ = pair
    frame = (1, 1, 1, 1)  # keeps masks off the border, which repeats itself
    pred, truth = (torch.nn.functional.pad(each, frame) for each in (pred, truth))
    wide = (torch.nn.functional.pad(each, margins) for each in (pred, truth))
    one, other = count(pred, truth, slots, radius=3.0), count(*wide, slots, radius=3.0)
    assert all(np.array_equal(*fields) for fields in zip(one, other, strict=True))


@QUICK
@given(pairs(), st.integers(0, 3))
def test_unused_slots_change_nothing(pair, unused):
    pred, truth, slots, bound_th = pair
    values = torch.stack(j_and_f(pred, truth, slots, bound_th=bound_th))
    padded = torch.stack(j_and_f(pred, truth, slots + unused, bound_th=bound_th))
    assert torch.equal(padded[:, :, :slots], values)
    assert bool((padded[:, :, slots:] == 1).all())
