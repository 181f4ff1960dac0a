"""A matching network small enough for unit tests, with random weights."""

import functools

import torch

from vosfw.config import compose, instantiate_engine, instantiate_model


def sizes(stages: int) -> list[str]:
    """Options that make all parts but the encoder small; the ensembler has ``stages`` bottleneck stages."""
    return [
        "model.embedding_dim=8",
        f"model.ensembler.widths={[16] * stages}",
        f"model.ensembler.dilations={[[1]] * stages}",
        "model.ensembler.out_channels=16",
        "model.ensembler.prehead=8",
        "model.decoder.width=16",
        "model.decoder.skip_width=8",
    ]


@functools.cache
def small_matching(model: str = "rpcm", modulator: str = "p2c", stages: int = 2, options: tuple[str, ...] = ()):
    """A network of the family with a narrow ResNet-18 and 16-channel maps, and the family's engine."""
    torch.manual_seed(0)
    config = compose(
        [
            f"model={model}",
            "model/encoder=deeplab_r18",
            f"model/modulator={modulator}",
            "+model.encoder.options.channels=[8,8,16,16]",
            "model.encoder.width=16",
            *sizes(stages),
            *options,
        ]
    )
    network = instantiate_model(config.model)
    network.default_engine = instantiate_engine(config.engine)
    return network.eval()
