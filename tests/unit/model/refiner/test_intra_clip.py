"""Intra-clip refinement, against the same with every cell on its own."""

from itertools import product

import pytest
import torch
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.model.refiner.intra_clip import IntraClipRefiner

WINDOW = (2, 3, 4)
SMALL = {"frame_channels": 6, "value_channels": 8, "key_dim": 4, "window": WINDOW, "mlp_ratio": 2}
SIZES = [(5, 7, 9), (1, 7, 9), (2, 3, 4), (3, 6, 8), (4, 2, 9), (2, 7, 3), (7, 1, 1)]
"""Frames, rows, columns: padded, clamped in time, fitting, without padding, clamped in rows, in columns, tiny."""


def refiner(**options):
    torch.manual_seed(0)
    made = IntraClipRefiner(**(SMALL | options))
    # As trained: no bias is zero, and no normalisation does nothing.
    for name, parameter in made.named_parameters():
        if parameter.ndim == 1 and "position" not in name:
            torch.nn.init.normal_(parameter, mean=1.0 if "norm" in name and "weight" in name else 0.0, std=0.3)
        elif "position" in name or parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.5)
    return made.eval()


def clip(size, objects=3, batch=2):
    generator = torch.Generator().manual_seed(sum(size))
    frames, rows, columns = size
    return (
        torch.randn(batch, frames, 6, rows, columns, generator=generator),
        torch.randn(batch, objects, 8, *size, generator=generator),
    )


def refine(model, frames, value):
    with torch.no_grad():
        return model(value, model.prepare(frames))


def plain(model, frames, value, *, index="corner", padding=True):
    """One video, one object: frames [T, C, h, w] and values [C, T, h, w], a row of the softmax at a time."""
    size = value.shape[1:]
    key = model.key_proj(frames).permute(0, 2, 3, 1)
    value = value.permute(1, 2, 3, 0)
    for number, block in enumerate(model.blocks):
        window = [min(*pair) for pair in zip(size, WINDOW, strict=True)]
        shift = [wanted // 2 if number % 2 and side > wanted else 0 for side, wanted in zip(size, WINDOW, strict=True)]
        lengths = [-(-side // step) * step for side, step in zip(size, window, strict=True)]
        attention = block.attention
        normed_key, normed_value = block.norm_key(key), block.norm_value(value)
        mixed = torch.zeros_like(value)
        corners = product(*(range(0, length, step) for length, step in zip(lengths, window, strict=True)))
        for corner in corners:
            inside = list(product(*map(range, window)))
            cells, unrolled = [], []
            for offset in inside:
                at = [c + o + s for c, o, s in zip(corner, offset, shift, strict=True)]
                unrolled.append([a >= n for a, n in zip(at, lengths, strict=True)])
                cells.append(tuple(a % n for a, n in zip(at, lengths, strict=True)))
            real = [all(a < n for a, n in zip(at, size, strict=True)) for at in cells]
            zero = torch.zeros(normed_key.shape[-1]), torch.zeros(normed_value.shape[-1])
            keys = torch.stack([normed_key[at] if ok else zero[0] for at, ok in zip(cells, real, strict=True)])
            values = torch.stack([normed_value[at] if ok else zero[1] for at, ok in zip(cells, real, strict=True)])
            projected = attention.qk(keys)
            q, k = projected.chunk(attention.parts, -1)[0], projected.chunk(attention.parts, -1)[-1]
            values = attention.v(values)
            for i, at in enumerate(cells):
                if not real[i]:
                    continue
                logits = []
                for j in range(len(cells)):
                    offsets = [a - b for a, b in zip(inside[i], inside[j], strict=True)]
                    if index == "corner":
                        whole = list(product(*map(range, WINDOW)))
                        offsets = [a - b for a, b in zip(whole[i], whole[j], strict=True)]
                    row = 0
                    for offset, side in zip(offsets, WINDOW, strict=True):
                        row = row * (2 * side - 1) + offset + side - 1
                    logit = (q[i] * k[j]).sum() / k.shape[-1] ** 0.5 + attention.position_bias[row]
                    apart = unrolled[i] != unrolled[j] or not (padding or real[j])
                    logits.append(logit - 100 if apart else logit)
                mixed[at] = attention.proj(torch.stack(logits).softmax(0) @ values)
        value = value + mixed
        value = value + block.fc2(F.gelu(block.fc1(block.norm_hidden(value))))
    return model.norm(value).permute(3, 0, 1, 2)


OPTIONS = {
    "released": {},
    "exact": {"clamped_index": "exact"},
    "two projections": {"shared_projection": False},
    "paper's formulas": {"final_norm": False},
    "no padding": {"attend_padding": False},
    "deep": {"depth": 3},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("size", [(3, 4, 5), (3, 2, 5)])
def test_as_the_plain_one(options, size):
    model = refiner(**options)
    frames, value = clip(size, objects=2, batch=1)
    got = refine(model, frames, value)
    with torch.no_grad():
        for slot in range(2):
            wanted = plain(
                model,
                frames[0],
                value[0, slot],
                index=options.get("clamped_index", "corner"),
                padding=options.get("attend_padding", True),
            )
            torch.testing.assert_close(got[0, slot], wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_any_clip_and_map(size):
    frames, value = clip(size)
    got = refine(refiner(), frames, value)
    assert got.shape == value.shape
    assert got.isfinite().all()


@pytest.mark.parametrize("size", SIZES)
def test_objects_and_videos_do_not_see_each_other(size):
    model, (frames, value) = refiner(), clip(size)
    got = refine(model, frames, value)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(refine(model, frames, value[:, order]), got[:, order], atol=1e-5, rtol=1e-5)
    for b in range(2):
        for slot in range(3):
            alone = refine(model, frames[b : b + 1], value[b : b + 1, slot : slot + 1])
            torch.testing.assert_close(alone[0, 0], got[b, slot], atol=1e-5, rtol=1e-5)


def test_training_gives_the_same():
    model, (frames, value) = refiner(), clip((5, 7, 9))
    with_gradient = model(value, model.prepare(frames))
    torch.testing.assert_close(with_gradient.detach(), refine(model, frames, value), atol=1e-5, rtol=1e-5)
    with_gradient.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_argument_is_left_alone():
    model, (frames, value) = refiner(), clip((3, 4, 5))
    before = value.clone()
    refine(model, frames, value)
    assert torch.equal(value, before)


def test_a_frame_reaches_its_neighbours():
    """Two blocks, the second shifted: windows of two frames reach three."""
    model, (frames, value) = refiner(), clip((6, 3, 4), objects=1, batch=1)
    changed = value.clone()
    changed[:, :, :, 2] += 1 + torch.rand(8, 3, 4)
    moved = (refine(model, frames, changed) - refine(model, frames, value)).abs().amax((0, 1, 2, 4, 5)) > 1e-6
    # Frames 2 and 3 are a window; shifted, 1 and 2, and 3 and 4.
    assert moved.tolist() == [False, True, True, True, True, False]


def test_padding_without_influence():
    """A map that windows fit gives the same with either; on another the biases of the padding count, or not."""
    frames, value = clip((4, 6, 8))
    with_padding, without = refiner(), refiner(attend_padding=False)
    torch.testing.assert_close(refine(with_padding, frames, value), refine(without, frames, value))
    frames, value = clip((3, 7, 9))
    assert (refine(with_padding, frames, value) - refine(without, frames, value)).abs().max() > 1e-2
    plain_result = refine(without, frames, value)
    with torch.no_grad():
        # Of a clip of one kind, all cells alike, attention is a mean of equals, whatever the window.
        level = torch.ones_like(frames)
        even = value[:, :, :, :1, :1, :1].expand_as(value)
        without.key_proj.weight.zero_()
        result = refine(without, level, even)
    torch.testing.assert_close(result, result[:, :, :, :1, :1, :1].expand_as(result), atol=1e-5, rtol=1e-4)
    assert plain_result.shape == value.shape
    with torch.no_grad():
        with_padding.key_proj.weight.zero_()
        uneven = refine(with_padding, level, even)
    assert (uneven - uneven[:, :, :, :1, :1, :1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window": (2, 7)}, r"refiner\.window is \[2, 7\]"),
        ({"window": (0, 7, 7)}, r"refiner\.window"),
        ({"clamped_index": "right"}, "corner or exact"),
        ({"depth": 0}, "depth=0"),
        ({"key_dim": 0}, "key_dim=0"),
        ({"mlp_ratio": 0}, "mlp_ratio=0"),
    ],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        IntraClipRefiner(**(SMALL | options))


def test_a_new_one():
    torch.manual_seed(0)
    model = IntraClipRefiner(**SMALL)
    assert not any(p.any() for name, p in model.named_parameters() if name.endswith(".bias"))
    assert sum(p.numel() for name, p in model.named_parameters() if "position_bias" in name) == 2 * 3 * 5 * 7
    assert isinstance(IntraClipRefiner(**SMALL, final_norm=False).norm, torch.nn.Identity)


def test_few_objects_at_a_time_change_nothing(monkeypatch):
    model, (frames, value) = refiner(), clip((5, 7, 9), objects=5)
    whole, kept = refine(model, frames, value), value.clone()
    monkeypatch.setattr("vosfw.model.refiner.intra_clip.CELLS", 2 * 5 * 7 * 9)
    torch.testing.assert_close(refine(model, frames, value), whole)
    assert torch.equal(value, kept)
