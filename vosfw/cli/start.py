"""What a training begins with: the arguments that a checkpoint stands for, and the files."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from vosfw.cli.launch import resumed
from vosfw.cli.stored import offer
from vosfw.config import compose, with_engine
from vosfw.errors import CheckpointError, ConfigError
from vosfw.hub import read_checkpoint

STARTS = ("experiment=", "start=")
"""Arguments that say what a training starts from, but for the checkpoint itself."""


def with_start(arguments: list[str]) -> list[str]:
    """The arguments, with model and engine of the checkpoint that a new run starts from as the choices to start from.

    That is with ``start=weights``, which an experiment may set; other arguments stay as they are.

    A run that is resumed has the composition of its own last checkpoint.

    Raises:
        CheckpointError: If the checkpoint cannot be read or its configuration is refused.
        ConfigError: If a sweep is to be resumed, or a run that is not named.
    """
    places = [i for i, argument in enumerate(arguments) if argument.startswith(STARTS)]
    paths = [argument.partition("=")[2].strip("'\"") for argument in arguments if argument.startswith("ckpt_path=")]
    asked = [argument for argument in arguments if argument.startswith((*STARTS, "run_dir=", "output_dir="))]
    try:
        config = compose(asked, "train") if places else None
    except ConfigError:
        return arguments  # which is reported where everything is composed
    # In a sweep over checkpoints the first one stands for all.
    text = paths[-1].split(",")[0] if paths else config and config.ckpt_path
    if config is None or config.start != "weights" or text in (None, "", "null"):
        return arguments
    extra = []
    if text == "last":
        if {"-m", "--multirun"} & set(arguments):
            raise ConfigError("ckpt_path=last in a sweep: repeat its command without it, finished runs are kept")
        if not any(argument.startswith(("run_dir=", "hydra.run.dir=")) for argument in arguments):
            # The newest run may be another one, whose network would be taken for this one's.
            raise ConfigError("ckpt_path=last: name the run to go on with, run_dir=RUN")
        OmegaConf.update(config, "ckpt_path", text)
        extra = resumed(config, arguments)
        run = Path(extra[0].partition("=")[2].strip("'") if extra else config.run_dir)
        text = str(run / "checkpoints" / "last.ckpt")
        if not Path(text).is_file():
            return arguments  # likewise
    stored = read_checkpoint(Path(text))
    if not any(argument.startswith("engine@train_engine=") for argument in arguments):
        extra += [own for own in with_engine([f"model={stored.name}"], "train") if own.startswith("engine@")]
    place = places[-1] + 1
    return [*arguments[:place], *extra, *offer(stored, arguments), *arguments[place:]]


def resume_path(config: DictConfig) -> Path | None:
    """The checkpoint to go on from.

    Raises:
        CheckpointError: If it is not there.
    """
    if config.start not in ("resume", "weights"):
        raise ConfigError(f"start is {config.start!r}; wanted resume or weights")
    if config.ckpt_path is None or (config.start == "weights" and config.ckpt_path != "last"):
        return None
    path = Path(config.ckpt_path)
    if config.ckpt_path == "last":
        path = Path(config.run_dir) / "checkpoints" / "last.ckpt"
    if not path.is_file():
        raise CheckpointError(
            f"no checkpoint to resume from at {path.absolute()}. Name the run with run_dir=..., its checkpoint with "
            "ckpt_path=..., or leave ckpt_path out to start anew."
        )
    return path


def start_path(config: DictConfig) -> Path | None:
    """The file with the weights that a new run starts from.

    Raises:
        ConfigError: If there are two, or none although one is wanted.
    """
    if config.start != "weights":
        return None if config.weights is None else Path(config.weights)
    if config.weights is not None or config.encoder_weights is not None:
        raise ConfigError("start=weights begins with those of ckpt_path: leave weights and encoder_weights out")
    if config.ckpt_path is None:
        raise ConfigError("start=weights needs the file that it begins with: ckpt_path=FILE, or embedded")
    return Path(config.ckpt_path)
