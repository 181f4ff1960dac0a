"""STCN written down plainly: one object after the other, concatenations, a dense affinity of each object's own.

The oracle of the shared computation in ``vosfw.model``, and what benchmarks compare with. It borrows the weights of a
``MemoryNetwork`` and nothing of its code but the backbones.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def conv(layer, x: Tensor) -> Tensor:
    return F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)


def block(layer, x: Tensor) -> Tensor:
    """Residual block on an input that holds all its channels."""
    same = isinstance(layer.shortcut, torch.nn.Identity)
    return (x if same else conv(layer.shortcut, x)) + conv(layer.conv2, F.relu(conv(layer.conv1, F.relu(x))))


class PlainSTCN:
    """One video; ``features`` are those of ``MemoryNetwork.encode``, without its time axis."""

    def __init__(self, network, top_k: int | None = 20) -> None:
        self.network = network
        self.top_k = top_k
        self.banks: dict[int, tuple[list[Tensor], list[Tensor]]] = {}

    def encode(self, frame: Tensor) -> tuple[Tensor, ...]:
        levels = self.network.encoder(frame)
        key, thin = conv(self.network.key_proj, levels[0]), conv(self.network.value_proj, levels[0])
        return (frame, levels[0], key, thin, *levels[1:])

    def value(self, features, masks: Tensor, slot: int) -> Tensor:
        """Masks [K, H, W] of the objects in use."""
        encoder = self.network.value_encoder
        own = masks[slot][None, None]
        others = sum((masks[i] for i in range(len(masks)) if i != slot), torch.zeros_like(masks[slot]))[None, None]
        stem = encoder.trunk.stem
        x = conv(stem, torch.cat([encoder.normalize(features[0]), own, others], dim=1))
        x = torch.cat([encoder.trunk.body(x), features[1]], dim=1)
        x = block(encoder.fuser.block1, x)
        return block(encoder.fuser.block2, x + encoder.fuser.attention(x))

    def memorize(self, features, masks: Tensor) -> None:
        for slot in range(len(masks)):
            keys, values = self.banks.setdefault(slot, ([], []))
            keys.append(features[2].flatten(2))
            values.append(self.value(features, masks, slot).flatten(2))

    def read(self, features, slot: int) -> Tensor:
        key, value = (torch.cat(part, dim=2)[0] for part in self.banks[slot])
        query = features[2].flatten(2)[0]
        similarity = (2 * key.t() @ query - key.square().sum(0)[:, None]) / key.shape[0] ** 0.5
        if self.top_k is None:
            weight = similarity.softmax(0)
        else:
            best, cell = similarity.topk(min(self.top_k, len(similarity)), dim=0)
            weight = torch.zeros_like(similarity).scatter_(0, cell, best.softmax(0))
        return (value @ weight).unflatten(1, features[2].shape[-2:])[None]

    def decode(self, features, readout: Tensor) -> Tensor:
        decoder = self.network.decoder
        x = block(decoder.compress, torch.cat([readout, features[3]], dim=1))
        for up, level in zip(decoder.ups, features[4:], strict=True):
            finer = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(up.block, conv(up.skip_conv, level) + finer)
        return F.interpolate(conv(decoder.pred, F.relu(x)), scale_factor=4, mode="bilinear", align_corners=False)

    def segment(self, features) -> Tensor:
        """Probabilities [K + 1, H, W] of the background and the objects."""
        probs = [self.decode(features, self.read(features, slot)).sigmoid()[0, 0] for slot in sorted(self.banks)]
        background = torch.stack([1 - p for p in probs]).prod(0)
        clamped = torch.stack([background, *probs]).clamp(1e-7, 1 - 1e-7)
        odds = clamped / (1 - clamped)
        return odds / odds.sum(0)
