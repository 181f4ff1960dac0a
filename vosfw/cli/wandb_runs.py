"""Runs as W&B knows them: offline files of runs whose folder is gone, and projects."""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tqdm import tqdm

from vosfw.cli.results import RESULTS
from vosfw.cli.runs import BEST, Run, scored
from vosfw.errors import DatasetError, UnsupportedError, VosfwError

METRIC = "val/j_and_f"
UNFINISHED = ("running", "pending", "preempting", "preempted")
"""States of a run in W&B."""
BLOCK, HEADER = 32768, 7
"""Of LevelDB's log format, in bytes; W&B's own header is as long as that of a record."""
FULL, LAST = 1, 4


def offline(folder: Path) -> list[Run]:
    """Offline runs in a folder, at any depth, but those inside of a run's folder, whose own files tell more.

    A run that was gone on with has several of W&B's folders, and counts once.

    Raises:
        DatasetError: If one cannot be read.
    """
    parts: dict[str, list[_Part]] = {}
    for path in sorted(folder.rglob("offline-run-*/run-*.wandb")):
        if not any((parent / ".hydra").is_dir() for parent in path.parents):
            part = _offline(path)
            parts.setdefault(part.name, []).append(part)
    found = []
    for own in parts.values():
        config = {key: value for part in own for key, value in part.config.items()}
        values = [value for part in own for value in part.values]
        files = [part.folder / "files" for part in own]
        found += _runs(str(own[-1].folder), config, values, own[-1].problem, files)
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
    found = []
    try:
        for run in tqdm(wandb.Api(timeout=30).runs(name), "runs", unit="run"):
            with TemporaryDirectory() as folder:
                found += _online(run, Path(folder))
    except ValueError as error:
        raise DatasetError(
            f"W&B has no project '{name}' for you: {error}. Wanted wandb:ENTITY/PROJECT. {cure}"
        ) from error
    except VosfwError:
        raise
    except Exception as error:  # of the client, requests or the operating system
        raise UnsupportedError(f"cannot read the W&B project '{name}': {error}. {cure}") from error
    return found


def _online(run: Any, folder: Path) -> list[Run]:
    """A run that W&B's server keeps; results of its tests are downloaded into a folder."""
    config = dict(run.config)
    values = [float(row[METRIC]) for row in run.scan_history(keys=[METRIC]) if row.get(METRIC) is not None]
    problem = "" if run.state == "finished" else f"failed: W&B says {run.state}"
    problem = "not finished" if run.state in UNFINISHED else problem
    names = [f"tests/{test}/{name}" for test in config.get("tests") or {} for name in RESULTS]
    for file in run.files(names=names) if names and not problem else ():
        file.download(root=str(folder), replace=True).close()
    return _runs(f"wandb:{'/'.join(run.path)}", config, values, problem, [folder])


class _Part(NamedTuple):
    """What one of W&B's folders says of a run."""

    folder: Path
    name: str
    config: dict[str, Any]
    values: list[float]
    problem: str


def _offline(path: Path) -> _Part:
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
        raise DatasetError(f"'{path}' is no W&B file: {error}. Leave the run out, or name its folder.") from error
    return _Part(path.parent, path.stem.removeprefix("run-"), config, values, problem)


def _records(data: bytes) -> Iterator[bytes]:
    """The whole records of a W&B file: LevelDB's log format behind a header of W&B's own. The last may be a half."""
    place, parts = HEADER, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        if place + HEADER + length > len(data):
            return
        parts += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (FULL, LAST):
            yield parts
            parts = b""


def _runs(
    where: str, config: Mapping[str, Any], values: Sequence[float], problem: str, folders: Sequence[Path]
) -> list[Run]:
    """The tests of a run if W&B has their files, in ``folders``; else its validation."""
    choices = {str(key): str(value) for key, value in (config.get("choices") or {}).items()}
    overrides = {str(key): str(value) for key, value in (config.get("overrides") or {}).items()}
    run = Run(where, overrides, choices, config, str(config.get("seed")), problem=problem)
    tests = {str(name): changes for name, changes in (config.get("tests") or {}).items() if changes is not None}
    if problem:
        return [run._replace(test=name, changes=tests[name]) for name in tests] or [run]
    found = []
    for name, changes in tests.items():
        if paths := [path for own in folders for each in RESULTS if (path := own / "tests" / name / each).is_file()]:
            found.append(scored(run._replace(test=name, changes=changes), paths))
    if found:
        return found
    return [run._replace(scores={BEST: max(values)})] if values else [run._replace(problem=f"no {METRIC} was logged")]
