"""Networks that match reference frames and the frame before: CFBI, RPCM, AOC."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from vosfw.errors import ConfigError
from vosfw.interfaces import Encoder, Ensembler, Gate, Grid, Matcher, Modulator, ObjectDecoder, Previous, Segmenter
from vosfw.model.layers.embedding import EmbeddingHead
from vosfw.model.pool.reference import Reference, ReferencePool, References
from vosfw.ops.aggregate import UNUSED_LOGIT
from vosfw.ops.proxies import ObjectSums, descriptor, object_sums
from vosfw.types import Features, ObjectMasks

CORRECTIONS = ("first_predicted", "reference")


class MatchingState(NamedTuple):
    """What the network remembers of a video."""

    references: References
    previous: Previous
    previous_sums: ObjectSums
    modulator: Any
    """The modulator part's own NamedTuple."""
    valid: Bool[Tensor, "B K"]


class MatchingNetwork(Segmenter[MatchingState]):
    """Matches every frame with references and with the frame before, and judges all objects together (CFBI, section 3).

    ``Features.levels`` are the embedding and the encoder's low-level map, both at stride 4. Cells of weight 0 leave the
    references, but count as the surroundings of every object in its descriptor; in the frame before they are what the
    mask says.

    Masks are hardened before use, as in the released code, so no gradient reaches them. With ``soft_masks`` class
    probabilities take the place of ones and zeros in sums of embeddings (the objects' descriptors), in means of
    clusters (AOC-Net's proxies, where a cell counts for its most likely class alone), in the map of the frame before's
    mask and in its masked embeddings (CFBI). Which cells are matched, and which cluster they are of, stays a hard
    choice. One-hot masks give the same either way.

    Args:
        encoder: Image encoder with two levels of the same stride: for the embedding, and low-level.
        matcher: Matching with references and with the frame before.
        pool: Which reference frames take part.
        ensembler: Factory, called with ``matching_channels``, ``embedding_channels``, ``head_dim`` and ``gate``.
        modulator: Factory, called with ``channels``, ``head_dim`` and ``gate``.
        decoder: Factory, called with ``in_channels``, ``skip_channels``, ``low_channels``, ``head_dim`` and ``gate``.
        gate: Factory of gates, called with ``channels`` and ``head_dim``.
        embedding_dim: Width of the embedding; an object's descriptor is four times as wide.
        correction: What correction slots remember: their input in the ``first_predicted`` frame (as released), or the
            ensembler's map of the ``reference`` frame (paper).
        soft_masks: Let probabilities in, so that gradients reach predicted masks (the cyclic mechanism needs them).

    Raises:
        ConfigError: If an option is out of range, or the encoder has other levels.
    """

    grid = Grid(16, "resize", 1)
    sequential = True

    def __init__(
        self,
        encoder: Encoder,
        matcher: Matcher[Any],
        pool: ReferencePool,
        ensembler: Callable[..., Ensembler],
        modulator: Callable[..., Modulator[Any]],
        decoder: Callable[..., ObjectDecoder],
        gate: Callable[..., Gate],
        embedding_dim: int = 100,
        correction: str = "first_predicted",
        *,
        soft_masks: bool = False,
    ) -> None:
        super().__init__()
        if embedding_dim < 1:
            raise ConfigError(f"model.embedding_dim is {embedding_dim}; wanted a whole number from 1")
        if correction not in CORRECTIONS:
            raise ConfigError(f"model.correction is {correction!r}; wanted {' or '.join(CORRECTIONS)}")
        if len(encoder.out_channels) != 2 or len(set(encoder.strides)) != 1:
            raise ConfigError(
                f"the encoder has levels at strides {list(encoder.strides)}; wanted two of the same stride, as "
                "model/encoder=deeplab_r101 has"
            )
        head_dim = 4 * embedding_dim
        wide, low = encoder.out_channels
        self.encoder = encoder
        self.embedding = EmbeddingHead(wide, embedding_dim)
        self.matcher = matcher
        self.pool = pool
        self.ensembler = ensembler(
            matching_channels=matcher.out_channels, embedding_channels=embedding_dim, head_dim=head_dim, gate=gate
        )
        self.modulator = modulator(channels=self.ensembler.out_channels, head_dim=head_dim, gate=gate)
        self.decoder = decoder(
            in_channels=self.modulator.out_channels,
            skip_channels=self.ensembler.skip_channels,
            low_channels=low,
            head_dim=head_dim,
            gate=gate,
        )
        self.correction = correction
        self.soft_masks = self.mask_gradient = soft_masks
        self.pad_color = encoder.pad_color

    def encode(self, frames: Float[Tensor, "B T 3 H W"]) -> Features:
        """See ``Segmenter.encode``."""
        wide, low = self.encoder(frames.flatten(0, 1))
        levels = (self.embedding(wide), low)
        return Features(frames, tuple(level.unflatten(0, frames.shape[:2]) for level in levels))

    def init_state(self, features: Features, masks: ObjectMasks, *, keep: bool = True) -> MatchingState:
        """See ``Segmenter.init_state``."""
        return self._remembered(features, masks, References((), ()), None, keep=keep)

    def segment(self, features: Features, state: MatchingState) -> tuple[Float[Tensor, "B T O y x"], MatchingState]:
        """See ``Segmenter.segment``; the logits are at the embedding's stride."""
        x, skip, head, valid = self._ensemble(features, state)
        fine = self.decoder.merge(skip, features.levels[1][:, 0])
        # The largest of all maps.
        del skip
        x, modulator = self.modulator(x, head, valid, state.modulator)
        logits = self.decoder(x, fine, head, valid).float()
        logits = torch.where(valid[:, :, None, None], logits, UNUSED_LOGIT)
        return logits[:, None], state._replace(modulator=modulator)

    def memorize(self, features: Features, masks: ObjectMasks, state: MatchingState, *, keep: bool) -> MatchingState:
        """See ``Segmenter.memorize``."""
        masks = masks.grow(state.valid.shape[1])
        return self._remembered(features, masks, state.references, state, keep=keep)

    def _remembered(
        self, features: Features, masks: ObjectMasks, references: References, old: MatchingState | None, *, keep: bool
    ) -> MatchingState:
        embedding = features.levels[0][:, 0]
        size = (embedding.shape[2], embedding.shape[3])
        cells = one_hot_cells(masks, size)
        # Outside of what is hard in any case, these are the same tensors unless masks are soft.
        probs = soft_cells(masks, size) if self.soft_masks else cells
        own = cells * probs if self.soft_masks else cells
        known = 0 if old is None else old.valid.shape[1]
        joined = old is None or masks.valid.shape[1] > known
        if keep:
            weight = F.interpolate(masks.weight, size, mode="nearest")
            trusted = weight > 0.5
            new = Reference(
                self.matcher.index(embedding, own * trusted),
                object_sums(embedding, probs * trusted),
                _mean(masks.weight),
            )
            references = self.pool.add(references, new, given=joined)
        if old is None or joined:
            shape = (*cells.shape[:2], self.ensembler.out_channels, *(-(-s // self.ensembler.stride) for s in size))
            modulator = self.modulator.empty(embedding.new_zeros(1).expand(shape))
        else:
            modulator = self.modulator.reset(old.modulator, (old.valid != masks.valid).any(1))
        previous = Previous(embedding, cells, self.matcher.index_previous(embedding, own))
        if self.soft_masks:
            previous = previous._replace(soft=probs)
        state = MatchingState(references, previous, object_sums(embedding, probs), modulator, masks.valid)
        if joined and self.correction == "reference":
            state = state._replace(modulator=self.modulator.prime(modulator, self._ensemble(features, state)[0]))
        return state

    def _ensemble(self, features: Features, state: MatchingState) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The ensembler's two maps, the objects' descriptors, and which classes are in use."""
        query = features.levels[0][:, 0]
        valid = F.pad(state.valid, (1, 0), value=True)
        sums = self.pool.sums(state.references, state.previous_sums)
        head = torch.cat([descriptor(sums), descriptor(state.previous_sums)], 2).to(query.dtype)
        maps = self.matcher(query, self.pool.indices(state.references), state.previous, valid).to(query.dtype)
        return *self.ensembler(query, maps, state.previous, head, valid), head, valid


def one_hot_cells(masks: ObjectMasks, size: tuple[int, int]) -> Float[Tensor, "B O h w"]:
    """The most likely class of the pixel nearest to each cell; nothing of slots not in use."""
    probs = F.interpolate(masks.probs.detach(), size, mode="nearest")
    used = F.pad(masks.valid, (1, 0), value=True)[:, :, None, None]
    classes = torch.where(used, probs, -1.0).max(1).indices
    hard = F.one_hot(classes, probs.shape[1]).movedim(-1, 1)
    return hard.to(probs.dtype) * used


def soft_cells(masks: ObjectMasks, size: tuple[int, int]) -> Float[Tensor, "B O h w"]:
    """Class probabilities of the pixel nearest to each cell; nothing of slots not in use. With gradient."""
    used = F.pad(masks.valid, (1, 0), value=True)[:, :, None, None]
    probs = F.interpolate(masks.probs, size, mode="nearest") * used
    # Laid out like the one-hot cells, so that products with them are the same to the bit.
    return probs.contiguous(memory_format=torch.channels_last)


def _mean(weight: Float[Tensor, "B 1 Y X"]) -> Float[Tensor, "B"]:
    return weight.flatten(1).mean(1)
