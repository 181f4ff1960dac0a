"""Three small networks that stand for the families vosfw must hold; they learn, but are not meant to be good.

``ClipDouble`` works on clips of three frames (PCVOS), ``PoolDouble`` hardens masks, matches a growing pool of
reference frames and carries a modulator-like memory that a new object resets (CFBI, RPCM, AOC), ``KeyDouble`` has keys
that depend on the object, in banks by time of joining (STM, KMN, GCM).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.interfaces import Grid, Segmenter
from vosfw.ops.aggregate import UNUSED_LOGIT, soft_aggregate
from vosfw.types import Features, ObjectMasks

WIDTH = 8


def pad_slots(tensor: Tensor, slots: int, dim: int = 1) -> Tensor:
    """Zeros (False) for slots that joined."""
    shape = list(tensor.shape)
    shape[dim] = slots - shape[dim]
    return torch.cat([tensor, tensor.new_zeros(shape)], dim) if shape[dim] > 0 else tensor


class Backbone(nn.Module):
    """Features at stride 4."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, stride=2, padding=1)
        self.body = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        return self.body(F.gelu(self.stem(frames - 0.5)))


class DoubleBase(Segmenter):
    pad_color = (0.5, 0.5, 0.5)

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()

    def encode(self, frames: Tensor) -> Features:
        level = self.backbone(frames.flatten(0, 1))
        return Features(frames, (level.unflatten(0, frames.shape[:2]),))


class ClipState(NamedTuple):
    sums: Tensor  # B K C
    areas: Tensor  # B K 1
    recent_sums: Tensor
    recent_areas: Tensor
    valid: Tensor


class ClipDouble(DoubleBase):
    """Mean feature per object; the frames of a clip are read together."""

    clip_length = 3
    grid = Grid(8, "pad")

    def __init__(self) -> None:
        super().__init__()
        self.temporal = nn.Linear(WIDTH, WIDTH)
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.offset = nn.Parameter(torch.tensor(0.5))

    def _means(self, features: Features, masks: ObjectMasks) -> tuple[Tensor, Tensor]:
        level = features.levels[0][:, 0]
        probs = F.interpolate(masks.probs[:, 1:], level.shape[-2:], mode="area") * masks.valid[:, :, None, None]
        return torch.einsum("bchw,bkhw->bkc", level, probs), probs.sum((2, 3))[..., None]

    def init_state(self, features: Features, masks: ObjectMasks, *, keep: bool = True) -> ClipState:
        zero = features.levels[0].new_zeros(*masks.valid.shape, WIDTH)
        empty = ClipState(zero, zero[..., :1], zero, zero[..., :1], masks.valid)
        return self.memorize(features, masks, empty, keep=keep)

    def segment(self, features: Features, state: ClipState) -> tuple[Tensor, ClipState]:
        level = features.levels[0]
        level = level + self.temporal(level.mean((1, 3, 4)))[:, None, :, None, None]
        sums, areas = state.sums + state.recent_sums, state.areas + state.recent_areas
        means = F.normalize(sums / areas.clamp_min(1e-3), dim=-1)
        similarity = torch.einsum("btchw,bkc->btkhw", F.normalize(level, dim=2), means)
        logits = (similarity - self.offset) * self.scale
        size = [4 * side for side in level.shape[-2:]]
        logits = F.interpolate(logits.flatten(0, 1), size, mode="bilinear", align_corners=False)
        frames = level.shape[1]
        classes = soft_aggregate(logits.sigmoid(), state.valid.repeat_interleave(frames, 0))
        return classes.unflatten(0, (-1, frames)), state

    def memorize(self, features: Features, masks: ObjectMasks, state: ClipState, *, keep: bool) -> ClipState:
        slots = masks.valid.shape[1]
        state = ClipState(*(pad_slots(part, slots) for part in state))
        sums, areas = self._means(features, masks)
        if keep:
            zero = torch.zeros_like
            return ClipState(state.sums + sums, state.areas + areas, zero(sums), zero(areas), masks.valid)
        return state._replace(recent_sums=sums, recent_areas=areas, valid=masks.valid)


class Memorized(ClipDouble):
    """Notes the masks that memory gets."""

    clip_length = 1

    def __init__(self):
        super().__init__()
        self.seen = []

    def memorize(self, features, masks, state, *, keep):
        self.seen.append(masks)
        return super().memorize(features, masks, state, keep=keep)


class PoolState(NamedTuple):
    keys: Tensor  # B N C
    labels: Tensor  # B N, slot + 1, 0 background, -1 untrusted
    previous: Tensor  # B h*w C
    previous_labels: Tensor
    memory: Tensor  # B K+1 h w
    ready: Tensor  # B
    valid: Tensor


class PoolDouble(DoubleBase):
    """Hard matching to a pool of frames and the previous one, and a carried memory with a ready flag."""

    grid = Grid(8, "resize", 1)
    sequential = True
    mask_gradient = False

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.mix = nn.Linear(3, 1)

    def _entry(self, features: Features, masks: ObjectMasks) -> tuple[Tensor, Tensor]:
        level = features.levels[0][:, 0]
        used = torch.cat([torch.ones_like(masks.valid[:, :1]), masks.valid], 1)[:, :, None, None]
        hard = torch.where(used, masks.probs, -1.0).argmax(1, keepdim=True).detach()
        hard = torch.where(masks.weight > 0.5, hard, -1).float()
        hard = F.interpolate(hard, level.shape[-2:], mode="nearest")[:, 0].long()
        return level.flatten(2).transpose(1, 2), hard.flatten(1)

    def init_state(self, features: Features, masks: ObjectMasks, *, keep: bool = True) -> PoolState:
        level = features.levels[0][:, 0]
        batch, _, height, width = level.shape
        none = level.new_zeros(batch, 0, WIDTH)
        labels = torch.zeros(batch, 0, dtype=torch.long, device=level.device)
        memory = level.new_zeros(batch, masks.valid.shape[1] + 1, height, width)
        ready = torch.zeros(batch, dtype=torch.bool, device=level.device)
        state = PoolState(none, labels, none, labels, memory, ready, masks.valid)
        return self.memorize(features, masks, state, keep=keep)

    def _nearest(self, query: Tensor, keys: Tensor, labels: Tensor, slots: int) -> Tensor:
        distance = torch.cdist(query, keys)[:, :, None, :]
        classes = torch.arange(slots + 1, device=query.device)[None, None, :, None]
        other = labels[:, None, None, :] != classes
        return 2 * torch.sigmoid(distance.masked_fill(other, 1e4).amin(-1) + self.bias) - 1

    def segment(self, features: Features, state: PoolState) -> tuple[Tensor, PoolState]:
        level = features.levels[0][:, 0]
        query, slots = level.flatten(2).transpose(1, 2), state.valid.shape[1]
        pooled = self._nearest(query, state.keys, state.labels, slots)
        near = self._nearest(query, state.previous, state.previous_labels, slots)
        head = pooled.transpose(1, 2).unflatten(2, level.shape[-2:])
        memory = torch.where(state.ready[:, None, None, None], state.memory, head)
        maps = torch.stack([pooled, near, memory.flatten(2).transpose(1, 2)], -1)
        logits = -4 * (self.mix(maps)[..., 0] + pooled + near).transpose(1, 2).unflatten(2, level.shape[-2:])
        used = torch.cat([torch.ones_like(state.valid[:, :1]), state.valid], 1)[:, :, None, None]
        logits = torch.where(used, logits, UNUSED_LOGIT)[:, None]
        return logits, state._replace(memory=head.detach(), ready=torch.ones_like(state.ready))

    def memorize(self, features: Features, masks: ObjectMasks, state: PoolState, *, keep: bool) -> PoolState:
        slots = masks.valid.shape[1]
        changed = (masks.valid != pad_slots(state.valid, slots)).any(1)
        keys, labels = self._entry(features, masks)
        state = state._replace(
            previous=keys,
            previous_labels=labels,
            memory=pad_slots(state.memory, slots + 1),
            ready=state.ready & ~changed,
            valid=masks.valid,
        )
        if keep:
            state = state._replace(keys=torch.cat([state.keys, keys], 1), labels=torch.cat([state.labels, labels], 1))
        return state


class KeyBucket(NamedTuple):
    slots: Tensor  # k
    key: Tensor  # B k N C
    value: Tensor  # B k N C


class KeyState(NamedTuple):
    buckets: tuple[KeyBucket, ...]
    valid: Tensor


class KeyDouble(DoubleBase):
    """Attention to memory whose keys depend on the object's mask."""

    grid = Grid(8, "pad")
    sequential = True

    def __init__(self) -> None:
        super().__init__()
        self.memory_key = nn.Conv2d(WIDTH + 1, WIDTH, 1)
        self.memory_value = nn.Conv2d(WIDTH + 1, WIDTH, 1)
        self.query = nn.Conv2d(WIDTH, WIDTH, 1)
        self.head = nn.Conv2d(2 * WIDTH, 1, 1)

    def _memory(self, features: Features, masks: ObjectMasks) -> tuple[Tensor, Tensor]:
        level = features.levels[0][:, 0]
        probs = masks.probs[:, 1:] * masks.valid[:, :, None, None]
        probs = F.interpolate(probs, level.shape[-2:], mode="area")
        slots = probs.shape[1]
        pairs = torch.cat([level[:, None].expand(-1, slots, -1, -1, -1), probs[:, :, None]], 2).flatten(0, 1)
        split = [part(pairs).flatten(2).transpose(1, 2) for part in (self.memory_key, self.memory_value)]
        return split[0].unflatten(0, (-1, slots)), split[1].unflatten(0, (-1, slots))

    def init_state(self, features: Features, masks: ObjectMasks, *, keep: bool = True) -> KeyState:
        return self.memorize(features, masks, KeyState((), masks.valid[:, :0]), keep=keep)

    def segment(self, features: Features, state: KeyState) -> tuple[Tensor, KeyState]:
        level = features.levels[0][:, 0]
        query = self.query(level).flatten(2).transpose(1, 2)[:, None]
        reads, order = [], []
        for bucket in state.buckets:
            affinity = (query @ bucket.key.transpose(-1, -2)).float().softmax(-1)
            reads.append(affinity @ bucket.value)
            order.append(bucket.slots)
        read = torch.cat(reads, 1)[:, torch.argsort(torch.cat(order))]
        read = read.transpose(-1, -2).unflatten(-1, level.shape[-2:])
        slots = read.shape[1]
        joined = torch.cat([read, level[:, None].expand(-1, slots, -1, -1, -1)], 2).flatten(0, 1)
        size = [4 * side for side in level.shape[-2:]]
        logits = F.interpolate(self.head(joined), size, mode="bilinear", align_corners=False)
        return soft_aggregate(logits.unflatten(0, (-1, slots))[:, :, 0].sigmoid(), state.valid)[:, None], state

    def memorize(self, features: Features, masks: ObjectMasks, state: KeyState, *, keep: bool) -> KeyState:
        if not keep and state.buckets:
            return state._replace(valid=masks.valid)
        key, value = self._memory(features, masks)
        known, slots = state.valid.shape[1], masks.valid.shape[1]
        buckets = [
            KeyBucket(b.slots, torch.cat([b.key, key[:, b.slots]], 2), torch.cat([b.value, value[:, b.slots]], 2))
            for b in state.buckets
        ]
        if slots > known:
            new = torch.arange(known, slots, device=key.device)
            buckets.append(KeyBucket(new, key[:, known:], value[:, known:]))
        return KeyState(tuple(buckets), masks.valid)


DOUBLES = {"clip": ClipDouble, "pool": PoolDouble, "key": KeyDouble}
