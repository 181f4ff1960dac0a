"""The blocks of the CFBI family written down as in the paper: gates, GCTs and convolutions one after the other."""

import torch
from torch.nn import functional as F


def randomize(module, seed=0):
    """Fill all parameters at random: fresh GCTs and norms do nothing, so that a wrong order would not show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            scale = max(1.0, parameter[0].numel()) ** -0.5 if parameter.ndim == 4 and parameter.shape[0] > 1 else 1.0
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return module


def gct(layer, x):
    """Yang et al., CVPR 2020: norm of each channel, normalised over the channels, to a gain."""
    norm = (x.square().sum((2, 3), keepdim=True) + 1e-5).sqrt() * layer.alpha
    gate = layer.gamma * norm / (norm.square().mean(1, keepdim=True) + 1e-5).sqrt() + layer.beta
    return x * (1 + gate.tanh())


def plain_bottleneck(block, x):
    """Of an input that is gated already."""
    y = F.relu(block.norm1(block.conv1(gct(block.gct, x))))
    y = F.relu(block.norm2(block.conv2(y)))
    return F.relu(block.norm3(block.conv3(y)) + (x if block.shortcut is None else block.shortcut(x)))


def plain_aspp(aspp, x):
    """Of an input that is gated already."""
    branches = [
        F.relu(norm(conv(gct(layer, x)))) for layer, conv, norm in zip(aspp.gcts, aspp.convs, aspp.norms, strict=True)
    ]
    pooled = F.relu(aspp.pool(x.mean((2, 3), keepdim=True))).expand(-1, -1, *x.shape[2:])
    return F.relu(aspp.norm(aspp.conv(gct(aspp.gct, torch.cat([*branches, pooled], 1)))))


def gated(gate, x, head):
    """An object's map times its gains."""
    return x * (1 + gate.linear(head).tanh())[:, :, None, None]


def plain_ensembler(ensembler, query, maps, embedding, masks, head):
    """Of one object at a time; ``masks`` are its own."""
    parts = [query]
    if ensembler.masked_previous:
        parts += [embedding * masks, embedding * (1 - masks)]
    x = torch.cat([*parts, F.relu(ensembler.prehead_norm(ensembler.prehead(maps)))], 1)
    skip = None
    for gates, blocks in zip(ensembler.gates, ensembler.blocks, strict=True):
        for gate, block in zip(gates, blocks, strict=True):
            x = plain_bottleneck(block, gated(gate, x, head))
        skip = x if skip is None else skip
    return plain_aspp(ensembler.aspp, gated(ensembler.aspp_gate, x, head)), skip


def plain_decoder(decoder, x, skip, low, head):
    """Of one object at a time: what it says for itself, and against."""
    fine = F.relu(decoder.skip_norm(decoder.skip_conv(gct(decoder.skip_gct, torch.cat([low, skip], 1)))))
    x = F.interpolate(x, skip.shape[2:], mode="bicubic", align_corners=True)
    y = gated(decoder.gate1, torch.cat([x, fine], 1), head)
    y = gated(decoder.gate2, F.relu(decoder.norm1(decoder.conv1(y))), head)
    y = F.relu(decoder.norm2(decoder.conv2(y)))
    logits = []
    for linear in (decoder.own, decoder.against):
        weight = linear(head)
        logits.append((y * weight[:, :-1, None, None]).sum(1) + weight[:, -1:, None])
    return logits
