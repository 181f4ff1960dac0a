"""Networks that read a memory of keys and values: STM, KMN, GCM, STCN, PCVOS."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.interfaces import Decoder, Encoder, Grid, Memory, Refiner, Segmenter, ValueEncoder
from vosfw.ops.aggregate import soft_aggregate
from vosfw.types import Features, ObjectMasks


class Bucket(NamedTuple):
    """Objects that joined in the same frame: they share a bank, and its keys if keys depend on the frame alone."""

    slots: Integer[Tensor, "k"]
    bank: Any
    """The memory part's own NamedTuple."""


class MemoryState(NamedTuple):
    """What the network remembers of a video."""

    buckets: tuple[Bucket, ...]
    valid: Bool[Tensor, "B K"]
    mass: Float[Tensor, "B T K h w"] | tuple[()] = ()
    """Of the frames segmented last, if kept; see ``Segmenter.affinity_mass``."""


class MemoryNetwork(Segmenter[MemoryState]):
    """Encodes frames, reads each object's memory, decodes the read-out and aggregates the objects (STCN, section 3).

    ``Features.levels`` are the encoder's coarsest map, the matching key, the frame's own value (the query side of the
    decoder's input), then the encoder's finer maps. Objects that join later get a bucket of their own: ``memorize``
    takes slots beyond the state's ``K`` for new. Cells most of which is not to be trusted (``ObjectMasks.weight``) are
    remembered but not read, for any object.

    Args:
        encoder: Image encoder; its coarsest level has the stride of ``grid_multiple``.
        value_encoder: Factory, called with ``frame_channels``, ``key_dim`` and ``value_dim``.
        memory: How banks are written and read.
        refiner: Factory, called with ``frame_channels`` and ``value_channels``.
        decoder: Factory, called with ``value_channels`` and ``skip_channels`` (frame value first, then finer levels).
        key_dim: Width of matching keys.
        value_dim: Width of values, of objects and of the frame.
        clip_length: Frames per ``segment`` call.
        grid_multiple: Input sides are padded to multiples of it; 1 takes any size.
        affinity_mass: Store each object's share of a cell along with its value, and report how much of each read came
            from the object; changes no mask.
        frame_chunk: Most frames of a clip encoded and decoded at once when no gradient is wanted: more take more
            memory, and are faster on a GPU with time to spare. None for all.

    Raises:
        ConfigError: If a width or length is below 1, or encoder, value encoder and decoder do not fit together.
    """

    def __init__(
        self,
        encoder: Encoder,
        value_encoder: Callable[..., ValueEncoder],
        memory: Memory[Any],
        refiner: Callable[..., Refiner],
        decoder: Callable[..., Decoder],
        key_dim: int = 64,
        value_dim: int = 512,
        clip_length: int = 1,
        grid_multiple: int = 16,
        affinity_mass: bool = False,
        frame_chunk: int | None = 1,
    ) -> None:
        super().__init__()
        sizes = {"key_dim": key_dim, "value_dim": value_dim, "clip_length": clip_length, "grid_multiple": grid_multiple}
        sizes |= {} if frame_chunk is None else {"frame_chunk": frame_chunk}
        for name, size in sizes.items():
            if size < 1:
                raise ConfigError(f"model.{name} is {size}; wanted a whole number from 1")
        coarse, *finer = encoder.out_channels
        self.encoder = encoder
        self.key_proj = nn.Conv2d(coarse, key_dim, 3, padding=1)
        self.value_proj = nn.Conv2d(coarse, value_dim, 3, padding=1)
        self.value_encoder = value_encoder(frame_channels=coarse, key_dim=key_dim, value_dim=value_dim)
        check_values(self.value_encoder, encoder.strides[0], grid_multiple)
        self.memory = memory
        self.refiner = refiner(frame_channels=coarse, value_channels=self.value_encoder.out_channels)
        self.decoder = decoder(value_channels=self.value_encoder.out_channels, skip_channels=(value_dim, *finer))
        if self.decoder.wants_mask and not self.value_encoder.shows_mask:
            raise ConfigError(
                f"model.decoder is {type(self.decoder).__name__}, which starts from the object's mask in its values, "
                f"but {type(self.value_encoder).__name__} puts none there: set model/value_encoder=patch, or "
                "model/decoder=refine"
            )
        self.clip_length = clip_length
        self.grid = Grid(grid_multiple, "pad")
        self.keeps_mass = affinity_mass
        self.frame_chunk = frame_chunk
        self.pad_color = encoder.pad_color
        nn.init.orthogonal_(self.key_proj.weight)
        nn.init.zeros_(self.key_proj.bias)  # type: ignore[arg-type]
        # Maps are in this order; weights in another are copied in every call.
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def encode(self, frames: Float[Tensor, "B T 3 H W"]) -> Features:
        """See ``Segmenter.encode``."""
        rows = frames.flatten(0, 1)
        step = len(rows) if torch.is_grad_enabled() else self.frame_chunk or len(rows)
        levels = _gathered(map(self._levels, rows.split(step)), len(rows))
        return Features(frames, tuple(level.unflatten(0, frames.shape[:2]) for level in levels))

    def prepare(self, features: Features, *, read: bool = False, write: bool = False) -> Features:
        """See ``Segmenter.prepare``."""
        if read:
            shared = (self.refiner.prepare(features.levels[0]), self.decoder.prepare(features.levels[2:]))
            features = features._replace(read=shared)
        return features._replace(write=self.value_encoder.prepare(features)) if write else features

    def init_state(self, features: Features, masks: ObjectMasks, *, keep: bool = True) -> MemoryState:
        """See ``Segmenter.init_state``; all slots share one bucket."""
        return self.memorize(features, masks, MemoryState((), masks.valid[:, :0]), keep=keep)

    def segment(self, features: Features, state: MemoryState) -> tuple[Float[Tensor, "B T O y x"], MemoryState]:
        """See ``Segmenter.segment``; the logits are those of soft aggregation, at input size."""
        coarse, key, frame_value, *finer = features.levels
        size = (features.frames.shape[-2], features.frames.shape[-1])
        if not state.buckets:
            nothing = frame_value.new_zeros(*features.frames.shape[:2], 0, *size)
            return soft_aggregate(nothing.transpose(1, 2), state.valid).transpose(1, 2), state
        value = self._read(key.transpose(1, 2), state)
        if self.keeps_mass:
            # A view would keep all that was read alive.
            mass = value[:, :, -1].transpose(1, 2).clone()
            value, state = value[:, :, :-1], state._replace(mass=mass)
        refine, decode = features.read or (self.refiner.prepare(coarse), ())
        value = self.refiner(value, refine)
        frames = value.shape[3]
        step = frames if decode or torch.is_grad_enabled() else self.frame_chunk or frames
        logits = []
        for start in range(0, frames, step):
            skips = tuple(level[:, start : start + step] for level in (frame_value, *finer))
            shared = decode or self.decoder.prepare(skips)
            logits.append(self._aggregated(value[:, :, :, start : start + step], shared, size, state.valid))
        return logits[0] if len(logits) == 1 else torch.cat(logits, dim=1), state

    def memorize(self, features: Features, masks: ObjectMasks, state: MemoryState, *, keep: bool) -> MemoryState:
        """See ``Segmenter.memorize``; a slot of the state that turns valid later has been in memory, empty, before."""
        known = state.valid.shape[1]
        masks = masks.grow(known)
        probs, size = masks.probs[:, 1:], features.frames.shape[-2:]
        if probs.shape[-2:] != size:
            probs = F.interpolate(probs, size, mode="bilinear", align_corners=False)
        if not probs.shape[1]:
            return state
        key, value = self.value_encoder(features, probs, masks.valid)
        if self.keeps_mass:
            shares = F.adaptive_avg_pool2d(probs, value.shape[-2:])
            value = torch.cat([value, shares[:, :, None].to(value.dtype)], dim=2)
        buckets = list(state.buckets)
        if probs.shape[1] > known:
            slots = torch.arange(known, probs.shape[1], device=probs.device)
            buckets.append(Bucket(slots, self.memory.empty(_of(slots, key), _of(slots, value))))
        trusted = F.adaptive_avg_pool2d(masks.weight, value.shape[-2:])[:, 0] >= 0.5
        buckets = [
            bucket._replace(
                bank=self.memory.write(
                    bucket.bank, _of(bucket.slots, key), _of(bucket.slots, value), trusted, keep=keep
                )
            )
            for bucket in buckets
        ]
        return MemoryState(tuple(buckets), masks.valid)

    def affinity_mass(self, state: MemoryState) -> Float[Tensor, "B T K h w"] | None:
        """See ``Segmenter.affinity_mass``."""
        return state.mass if isinstance(state.mass, Tensor) else None

    def _levels(self, frames: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, ...]:
        coarse, *finer = self.encoder(frames)
        return coarse, self.key_proj(coarse), self.value_proj(coarse), *finer

    def _aggregated(
        self,
        value: Float[Tensor, "B K D T h w"],
        shared: tuple[Tensor, ...],
        size: tuple[int, int],
        valid: Bool[Tensor, "B K"],
    ) -> Float[Tensor, "B T O H W"]:
        """Class logits of frames whose read-outs are ``value``."""
        logits = self.decoder(value, shared).float()
        probs = F.interpolate(logits.flatten(0, 1), size, mode="bilinear", align_corners=False).sigmoid()
        probs = probs.unflatten(0, logits.shape[:2])
        return soft_aggregate(probs.transpose(1, 2), valid).transpose(1, 2)

    def _read(self, query: Float[Tensor, "B C T h w"], state: MemoryState) -> Float[Tensor, "B K D T h w"]:
        """The read-outs of all buckets, in the order of slots."""
        reads = [self.memory.read(bucket.bank, query) for bucket in state.buckets]
        if len(reads) == 1:
            return reads[0]
        slots = torch.cat([bucket.slots for bucket in state.buckets])
        return torch.cat(reads, dim=1).index_select(1, slots.argsort())


def check_values(value_encoder: ValueEncoder, stride: int, multiple: int) -> None:
    """Refuse a value encoder whose cells are not those of the frame's features.

    Args:
        value_encoder: To be checked.
        stride: Of the encoder's coarsest level.
        multiple: Input sides are multiples of it.

    Raises:
        ConfigError: With both sizes.
    """
    name = type(value_encoder).__name__
    if value_encoder.stride != stride:
        raise ConfigError(
            f"model.value_encoder ({name}) has cells of {value_encoder.stride} pixels, the encoder's coarsest level of "
            f"{stride}: choose an encoder of that stride, or model/value_encoder=patch with "
            f"model.value_encoder.stride={stride}"
        )
    if multiple % value_encoder.multiple:
        raise ConfigError(
            f"model.grid_multiple is {multiple}, but model.value_encoder ({name}) needs sides that are multiples of "
            f"{value_encoder.multiple}: set model.grid_multiple={value_encoder.multiple}"
        )


def _of(slots: Integer[Tensor, "k"], x: Float[Tensor, "B g *s"]) -> Float[Tensor, "B _k *s"]:
    """The rows of a bucket's slots; a row that all slots share stays one."""
    if x.shape[1] in (1, slots.shape[0]):
        return x
    return x.index_select(1, slots)


def _gathered(chunks: Iterable[tuple[Tensor, ...]], rows: int) -> tuple[Tensor, ...]:
    """Maps that come in chunks of frames, each in one tensor; filled as they come, so that none is there twice."""
    gathered: tuple[Tensor, ...] = ()
    place = 0
    for maps in chunks:
        if len(maps[0]) == rows:
            return maps
        gathered = gathered or tuple(
            torch.empty((rows, *x.shape[1:]), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
            for x in maps
        )
        for room, part in zip(gathered, maps, strict=True):
            room[place : place + len(part)] = part
        place += len(maps[0])
    return gathered
