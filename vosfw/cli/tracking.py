"""What a training run tells its tracker: a lasting W&B run, and the version of the code."""

import json
import logging
import netrc
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import WandbLogger

import vosfw
from vosfw.cli.results import RESULTS, SCORES
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
            # An agent of a W&B sweep has given the run an id.
            note.write_text(os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4))
        OmegaConf.update(config, "logger.id", note.read_text().strip())


def settle_mode(folder: Path | str) -> None:
    """Log quietly, and offline to a folder where nobody is logged in."""
    os.environ.setdefault("WANDB_SILENT", "true")
    if "WANDB_MODE" not in os.environ and not logged_in():
        os.environ["WANDB_MODE"] = "offline"
        logger.info("no W&B key: logging offline to %s/wandb; upload it later with wandb sync", folder)


@contextmanager
def tracked(trainer: pl.Trainer) -> Iterator[None]:
    """Close the W&B run at the end, which the next run of a sweep would else write to; as failed after an error."""
    code = 1
    try:
        yield
        code = 0
    finally:
        for run in _wandb_runs(trainer):
            run.finish(exit_code=code)


def log_tests(trainer: pl.Trainer, folder: Path) -> None:
    """Let W&B keep what the tests gave: scores, a table of the videos, and the files that ``vosfw table`` compares.

    Args:
        trainer: Of the training.
        folder: Of the run.
    """
    import wandb

    for run in _wandb_runs(trainer):
        for path in sorted(path for name in RESULTS for path in (folder / "tests").glob(f"*/{name}")):
            place, test = Path(run.dir) / path.relative_to(folder), path.parent.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            run.save(str(place), base_path=run.dir, policy="now")
            content = json.loads(path.read_text())
            if "sequences" in content:
                rows = [[name, *(found[key] for key in SCORES)] for name, found in content["sequences"].items()]
                table = wandb.Table(columns=["video", *SCORES], data=rows)
                scores = {f"test/{test}/{key}": content[key] for key in SCORES}
                run.log({**scores, f"test/{test}/videos": table})


def _wandb_runs(trainer: pl.Trainer) -> list[Any]:
    """In the first process only."""
    return [log.experiment for log in trainer.loggers if isinstance(log, WandbLogger) and trainer.is_global_zero]


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
