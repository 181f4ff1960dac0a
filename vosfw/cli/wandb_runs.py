"""Runs as W&B knows them: offline files of runs whose folder is gone, and projects."""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vosfw.cli.runs import BEST, Run
from vosfw.errors import DatasetError, UnsupportedError

METRIC = "val/j_and_f"
BLOCK, HEADER = 32768, 7
"""Of LevelDB's log format, in bytes; W&B's own header is as long as that of a record."""
FULL, LAST = 1, 4


def offline(folder: Path) -> list[Run]:
    """Offline runs in a folder, at any depth, but those inside of a run's folder, whose own files tell more.

    Raises:
        DatasetError: If one cannot be read.
    """
    found = []
    for path in sorted(folder.rglob("offline-run-*/run-*.wandb")):
        if not any((parent / ".hydra").is_dir() for parent in path.parents):
            found.append(_offline(path))
    return found


def project(name: str) -> list[Run]:
    """The runs of a W&B project.

    Args:
        name: ``entity/project``.

    Raises:
        DatasetError: If there is no such project.
        UnsupportedError: If W&B cannot be reached.
    """
    import wandb

    cure = (
        "Log in with `wandb login` or WANDB_API_KEY and check the network, or name the folders of the runs; offline "
        "runs are read from their wandb/ folders."
    )
    try:
        runs = list(wandb.Api(timeout=30).runs(name))
    except ValueError as error:
        raise DatasetError(
            f"W&B has no project '{name}' for you: {error}. Wanted wandb:ENTITY/PROJECT. {cure}"
        ) from error
    except Exception as error:  # of the client, requests or the operating system
        raise UnsupportedError(f"cannot read the W&B project '{name}': {error}. {cure}") from error
    found = []
    for run in runs:
        values = [float(row[METRIC]) for row in run.scan_history(keys=[METRIC]) if row.get(METRIC) is not None]
        problem = {"finished": "", "running": "not finished"}.get(run.state, f"failed: W&B says it {run.state}")
        found.append(_run(f"wandb:{'/'.join(run.path)}", dict(run.config), values, problem))
    return found


def _offline(path: Path) -> Run:
    from google.protobuf.message import DecodeError
    from wandb.proto import wandb_internal_pb2

    config: dict[str, Any] = {}
    values: list[float] = []
    problem = "not finished"
    try:
        for data in _records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            elif kind == "config":
                config |= {item.key: json.loads(item.value_json) for item in record.config.update}
            elif kind == "history":
                row = {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
                values += [float(json.loads(row[METRIC]))] if METRIC in row else []
            elif kind == "exit":
                code = record.exit.exit_code
                problem = "" if code == 0 else f"failed: W&B noted exit code {code}"
    except (struct.error, DecodeError, json.JSONDecodeError) as error:
        raise DatasetError(f"'{path}' is no whole W&B file: {error}. Leave the run out, or name its folder.") from error
    return _run(str(path.parent), config, values, problem)


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a W&B file: LevelDB's log format behind a header of W&B's own."""
    place, parts = HEADER, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        parts += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (FULL, LAST):
            yield parts
            parts = b""


def _run(where: str, config: Mapping[str, Any], values: list[float], problem: str) -> Run:
    choices = {str(key): str(value) for key, value in (config.get("choices") or {}).items()}
    overrides = {str(key): str(value) for key, value in (config.get("overrides") or {}).items()}
    scores = {} if problem or not values else {BEST: max(values)}
    problem = problem or ("" if scores else f"no {METRIC} was logged")
    return Run(where, overrides, choices, config, str(config.get("seed")), scores=scores, problem=problem)
