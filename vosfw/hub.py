"""From a name, file or address to a network that is ready to use."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from omegaconf import DictConfig
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vosfw.composition import differences
from vosfw.config import choices, compose, config_dir, instantiate_engine, instantiate_model, to_container
from vosfw.errors import CheckpointError, ConfigError
from vosfw.interfaces import Segmenter

__all__ = ["EMBEDDED", "Checkpoint", "ModelCard", "list_models", "load", "read_checkpoint", "save"]

EMBEDDED = Path(__file__).parent / "weights" / "embedded.safetensors"
"""The network that comes with vosfw (docs/models/embedded.md)."""
PREFIX = "segmenter."
"""Of the network's weights in a Lightning checkpoint."""
ENCODER = "encoder."
"""Of the encoder's weights in a network."""
COUNTER = ".num_batches_tracked"
FREE = {"name", "pretrained", "norm", "frozen_bn", "dropout"}
"""Options that encoders with the same weights may differ in."""


class Checkpoint(NamedTuple):
    """Weights and the composition they belong to, as plain containers."""

    weights: dict[str, Tensor]
    name: str
    model: dict[str, Any]
    engine: dict[str, Any] | None


class ModelCard(NamedTuple):
    """One composition under ``configs/model``."""

    name: str
    title: str
    parameters: int


def load(
    source: str | Path | DictConfig | None = None,
    *,
    weights: Literal["published"] | None = "published",
    device: str | torch.device = "cpu",
    sha256: str | None = None,
    trust_targets: bool = False,
) -> Segmenter[Any]:
    """A network in evaluation mode, with the engine options that belong to it.

    Args:
        source: None for the embedded network; a ``.ckpt`` or ``.safetensors`` file of vosfw, an http(s) or file
            address of one, the name of a composition (``list_models``), or a model configuration.
        weights: None builds a named composition with random weights.
        device: Where to put it.
        sha256: Expected hash of a downloaded file, or its first digits.
        trust_targets: Let a checkpoint's configuration build any class. Only for files whose author you trust.

    Raises:
        CheckpointError: If the file cannot be read or reached, or its configuration is refused.
        ConfigError: If the name is unknown (the nearest are listed).
    """
    if isinstance(source, DictConfig):
        return instantiate_model(source, trust_targets=trust_targets).to(device).eval()
    source = EMBEDDED if source is None or source == EMBEDDED.stem else source
    if source == EMBEDDED and weights is None:
        source = EMBEDDED.stem
    text = str(source)
    if urlparse(text).scheme in ("http", "https", "file"):
        return build(read_checkpoint(_download(text, sha256)), device, trust_targets=trust_targets)
    if Path(text).suffix or Path(text).exists():
        return build(read_checkpoint(Path(text)), device, trust_targets=trust_targets)
    config = compose([f"model={text}"])
    if weights is not None:
        raise CheckpointError(
            f"no weights of vosfw are published for {text!r}. Convert the authors' checkpoint (python -m vosfw.convert "
            f"{text} official.pth {text}.safetensors) and load that file, or pass weights=None for random weights."
        )
    model = instantiate_model(config.model)
    model.default_engine = instantiate_engine(config.engine)
    return model.to(device).eval()


def read_checkpoint(path: Path) -> Checkpoint:
    """Weights and composition of a Lightning ``.ckpt`` or a ``.safetensors`` file; runs no code from it.

    Args:
        path: ``embedded`` stands for the network that comes with vosfw.

    Raises:
        CheckpointError: If the file is missing, damaged, or was not written by vosfw.
    """
    path = EMBEDDED if str(path) == EMBEDDED.stem else path
    if path.is_dir():
        near = next(iter(sorted(path.rglob("*.ckpt"))), None) or next(iter(sorted(path.rglob("*.safetensors"))), None)
        raise CheckpointError(f"{path} is a folder; name a file{'' if near is None else f', such as {near}'}.")
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path.absolute()}. Check the path; training writes to outputs/.")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                header = (file.metadata() or {}).get("vosfw")
                weights = {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{path} is no readable safetensors file ({error}). Copy or convert it again."
            ) from error
        composition = json.loads(header) if header else None
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged file
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CheckpointError(f"{path} is no checkpoint that can be read safely ({reason}).") from error
        composition = content.get("vosfw") if isinstance(content, Mapping) else None
        state = content.get("state_dict", {}) if isinstance(content, Mapping) else {}
        weights = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    if not isinstance(composition, Mapping) or "model" not in composition:
        raise CheckpointError(
            f"{path} was not written by vosfw: it does not say which composition its weights belong to. Import an "
            "official checkpoint with python -m vosfw.convert SYSTEM in.pth out.safetensors."
        )
    return Checkpoint(weights, str(composition.get("name", "")), composition["model"], composition.get("engine"))


def save(
    path: Path,
    weights: Mapping[str, Tensor],
    name: str,
    model: DictConfig | Mapping[str, Any],
    engine: DictConfig | Mapping[str, Any] | None = None,
) -> None:
    """Write weights with their composition as safetensors; an existing file is replaced at once or not at all."""
    header: dict[str, Any] = {"version": 1, "name": name, "model": to_container(model)}
    if engine is not None:
        header["engine"] = to_container(engine)
    draft = path.with_name(path.name + ".part")
    plain = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    save_file(plain, draft, metadata={"vosfw": json.dumps(header)})
    draft.replace(path)


def list_models(*, count: bool = True) -> list[ModelCard]:
    """All compositions, with their papers and numbers of parameters (which are not counted if ``count`` is False)."""
    cards = []
    for name in choices("model"):
        title = (config_dir() / "model" / f"{name}.yaml").read_text().splitlines()[0].lstrip("# ").strip()
        parameters = 0
        if count:
            with torch.device("meta"):
                model = instantiate_model(compose([f"model={name}"]).model)
            parameters = sum(p.numel() for p in model.parameters())
        cards.append(ModelCard(name, title, parameters))
    return cards


def build(checkpoint: Checkpoint, device: str | torch.device = "cpu", *, trust_targets: bool = False) -> Segmenter[Any]:
    """The network of a checkpoint, with its weights and engine, in evaluation mode.

    Raises:
        CheckpointError: If the weights do not fit, or a target of the configuration is refused.
    """
    _refuse_part(checkpoint)
    model = instantiate_model(checkpoint.model, trust_targets=trust_targets)
    load_weights(model, checkpoint)
    if checkpoint.engine is not None:
        model.default_engine = instantiate_engine(checkpoint.engine, trust_targets=trust_targets)
    model.composition = {"name": checkpoint.name, "model": checkpoint.model, "engine": checkpoint.engine}
    return model.to(device).eval()


def load_weights(model: Segmenter[Any], checkpoint: Checkpoint) -> None:
    """Fill a network; every tensor must have its place and size.

    Raises:
        CheckpointError: Naming the first tensors that are missing, left over, or of another shape.
    """
    _refuse_part(checkpoint)
    said = _misfits(model.state_dict(), checkpoint.weights)
    if said:
        raise CheckpointError(
            f"the checkpoint's weights ({checkpoint.name or 'unnamed'}) do not fit this composition ({said}). "
            "Load it with the composition it was trained with, or leave model= out."
        )
    model.load_state_dict(checkpoint.weights)


def load_encoder(model: Segmenter[Any], checkpoint: Checkpoint, config: Mapping[str, Any]) -> None:
    """Fill a network's encoder, and nothing else, with that of a converted encoder or of another whole network.

    Counters of batch norms may be missing or left over, so frozen norms can start ones that learn, and be started.

    Args:
        model: A network with a part called ``encoder``.
        checkpoint: Where the weights come from.
        config: The network's configuration.

    Raises:
        CheckpointError: If there is no such part, a tensor does not fit, or the encoders are to compute other things.
    """
    own, given = (
        {key: value for key, value in weights.items() if key.startswith(ENCODER)}
        for weights in (model.state_dict(), checkpoint.weights)
    )
    for keys, what in ((own, "this network"), (given, f"the checkpoint ({checkpoint.name or 'unnamed'})")):
        if not keys:
            raise CheckpointError(f"encoder_weights: {what} has no part called encoder; leave encoder_weights out")
    said = _misfits(*({k: v for k, v in part.items() if not k.endswith(COUNTER)} for part in (own, given)))
    theirs, ours = (
        {key: value for key, value in part.items() if key not in FREE}
        for part in (checkpoint.model.get("encoder", {}), config.get("encoder", {}))
    )
    said = said or "; ".join(differences(theirs, ours, "model.encoder"))
    if said:
        raise CheckpointError(
            f"encoder_weights: the checkpoint's encoder ({checkpoint.name or 'unnamed'}) does not fit this network's "
            f"({said}). Choose the same model/encoder with the same options, or leave encoder_weights out."
        )
    model.load_state_dict({key: value for key, value in given.items() if key in own}, strict=False)


def _refuse_part(checkpoint: Checkpoint) -> None:
    if "_target_" not in checkpoint.model:
        raise CheckpointError(
            f"the file holds an encoder only ({checkpoint.name}), not a whole network; start a training from it with "
            "train.py encoder_weights=FILE"
        )


def _misfits(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Tensors that are missing, left over or of another shape; empty if all fit."""
    shapes = [
        f"{key} {tuple(value.shape)} for {tuple(own[key].shape)}"
        for key, value in given.items()
        if key in own and own[key].shape != value.shape
    ]
    missing, extra = ([key for key in a if key not in b] for a, b in ((own, given), (given, own)))
    parts = [("missing", missing), ("left over", extra), ("of another shape", shapes)]
    return "; ".join(f"{len(keys)} {what}: {', '.join(keys[:3])}" for what, keys in parts if keys)


def _download(address: str, sha256: str | None) -> Path:
    """The file behind an address, from the cache if it was fetched before."""
    cache = Path(os.environ.get("VOSFW_CACHE", Path.home() / ".cache" / "vosfw"))
    name = Path(urlparse(address).path).name
    if not name:
        raise ConfigError(f"{address} names no file; wanted the address of a .ckpt or .safetensors file")
    target = cache / name
    if target.is_file() and _hash_fits(target, sha256):
        return target
    cache.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(address, str(target), hash_prefix=sha256, progress=True)
    except (URLError, OSError, RuntimeError) as error:
        raise CheckpointError(
            f"could not fetch {address} ({error}). Check the connection and the hash, or download the file by other "
            f"means and pass its path; the cache is {cache}."
        ) from error
    return target


def _hash_fits(path: Path, sha256: str | None) -> bool:
    if sha256 is None:
        return True
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(sha256)
