"""What a training run tells its tracker: a lasting W&B run, and the version of the code."""

import logging
import netrc
import os
import secrets
import subprocess
from pathlib import Path
from urllib.parse import urlparse

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import WandbLogger

import vosfw
from vosfw.cli.sweep import parsed

logger = logging.getLogger(__name__)


def prepare_wandb(config: DictConfig) -> None:
    """Settle the run's id, which a resumed run continues, and go offline where nobody is logged in."""
    if not str(config.logger.get("_target_", "")).endswith("WandbLogger"):
        return
    settle_mode(config.run_dir)
    if config.logger.get("id") is None:
        note = Path(config.run_dir) / "wandb_id"
        if not note.is_file():
            note.write_text(secrets.token_hex(4))
        OmegaConf.update(config, "logger.id", note.read_text().strip())


def settle_mode(folder: Path | str) -> None:
    """Log quietly, and offline to a folder where nobody is logged in."""
    os.environ.setdefault("WANDB_SILENT", "true")
    if "WANDB_MODE" not in os.environ and not logged_in():
        os.environ["WANDB_MODE"] = "offline"
        logger.info("no W&B key: logging offline to %s/wandb; upload it later with wandb sync", folder)


def finish(trainer: pl.Trainer) -> None:
    """Close the W&B run, which the next run of a sweep would otherwise write to."""
    for log in trainer.loggers:
        if isinstance(log, WandbLogger) and trainer.is_global_zero:
            log.experiment.finish()


def logged_in() -> bool:
    """Whether W&B finds a key without asking for one."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    for path in (os.environ.get("NETRC"), Path.home() / ".netrc", Path.home() / "_netrc"):
        try:
            if path and netrc.netrc(str(path)).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def started_with() -> dict[str, dict[str, str]]:
    """Choices and overrides of a run of Hydra, by which tables of runs are made."""
    if not HydraConfig.initialized():
        return {}
    own = HydraConfig.get()
    choices = {str(key): str(value) for key, value in own.runtime.choices.items()}
    return {"choices": choices, "overrides": parsed(own.overrides.task)}


def code_version() -> dict[str, str]:
    """Version of vosfw, and its commit when it runs from a checkout."""
    version = {"vosfw": vosfw.__version__}
    folder = Path(vosfw.__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        dirty = "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        version["commit"] = git("rev-parse", "HEAD") + dirty
    except (OSError, subprocess.SubprocessError):
        logger.debug("vosfw runs from no git checkout")
    return version
