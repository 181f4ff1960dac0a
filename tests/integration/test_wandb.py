import inspect
import json
import shutil
import struct
import time
from pathlib import Path

import pytest
import torch
import wandb
from PIL import Image
from runs import ROOT, TRAIN
from wandb.proto import wandb_internal_pb2

import vosfw
from vosfw.cli.table import collect
from vosfw.cli.tracking import logged_in
from vosfw.cli.train import main
from vosfw.cli.wandb_runs import project
from vosfw.errors import DatasetError

RUN = [
    *[option for option in TRAIN if option != "logger=csv"],
    "trainer.max_steps=4",
    "trainer.val_check_interval=2",
    "callbacks.video_logger.videos=1",
    "callbacks.video_logger.frames=2",
    "+tests.plain={}",
]


def records(folder: Path):
    """The protocol buffers of an offline run: a header of 7 bytes, then LevelDB's log format."""
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    data, place, parts = path.read_bytes(), 7, b""
    while place < len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def finished(folder: Path):
    """All records; W&B may still be writing when it says that the run is finished."""
    for _ in range(300):
        found = list(records(folder))
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.1)
    raise TimeoutError("the offline run was not closed")


def read(folder: Path):
    config, history, artifacts, ids = {}, [], [], set()
    for record in finished(folder):
        kind = record.WhichOneof("record_type")
        if kind == "config":
            config |= {item.key: json.loads(item.value_json) for item in record.config.update}
        elif kind == "history":
            row = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
            history.append(row)
        elif kind == "artifact":
            artifacts.append(record.artifact)
        elif kind == "run":
            ids.add(record.run.run_id)
    return config, history, artifacts, ids


@pytest.fixture
def nobody_is_logged_in(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_BASE_URL", "NETRC", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    # Set by the run itself; noted here so that it is taken back.
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_MODE", "")
    monkeypatch.delenv("WANDB_MODE")


def test_an_offline_run_holds_everything(tmp_path, nobody_is_logged_in):
    run = tmp_path / "run"
    assert main([*RUN, f"run_dir={run}"]) == 0
    config, history, artifacts, ids = read(run)

    assert config["model"]["key_dim"] == 8 and config["trainer"]["max_steps"] == 4 and config["seed"] == 0
    assert config["data"]["augment"]["crop"] == [32, 48], "the configuration is not resolved"
    assert config["code"]["vosfw"] == vosfw.__version__
    assert ("commit" in config["code"]) == (ROOT / ".git").exists()
    steps = {name: [row["trainer/global_step"] for row in history if name in row] for name in set().union(*history)}
    for name in ("train/loss", "lr-AdamW", "perf/train_fps", "perf/data_wait"):
        assert steps[name] == [0, 1, 2, 3], name
    for name in ("val/j_and_f", "val/j", "val/f", "perf/fps"):
        assert steps[name] == [1, 3], name

    overlays = [row for row in history if any(name.startswith("val/overlay") for name in row)]
    assert [row["trainer/global_step"] for row in overlays] == [1, 3]
    for row in overlays:
        assert row["val/overlay/captions"] == ["val-0000 00002", "val-0000 00005"]
        masks, pictures = row["val/overlay/all_masks"], row["val/overlay/filenames"]
        assert len(pictures) == 2 and all(set(mask) == {"prediction", "truth"} for mask in masks)
        files = [mask[kind]["path"] for mask in masks for kind in mask] + pictures
        (folder,) = run.glob("wandb/offline-run-*/files")
        assert all(Image.open(folder / file).size == (48, 32) for file in files)

    (artifact,) = (each for each in artifacts if each.type == "model")
    assert "best" in artifact.aliases
    (content,) = artifact.manifest.contents
    assert content.path == "best.ckpt"
    logged = torch.load(content.local_path, weights_only=True)["state_dict"]
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(logged[key], best[key]) for key in best)

    # The table's readers, without the run's own folder.
    away = tmp_path / "away"
    shutil.copytree(run / "wandb", away / "wandb")
    truth = json.loads((run / "tests/plain/results.json").read_text())
    (found,) = collect([str(away)])
    assert (found.test, found.seed, found.problem, found.choices["model"]) == ("plain", "0", "", "demo")
    assert found.scores == {name: truth[name] for name in ("j_and_f", "j", "f")}
    assert found.results["sequences"] == truth["sequences"] and len(truth["sequences"]) == 3
    (row,) = [row for row in history if "test/plain/j_and_f" in row]
    assert row["test/plain/j_and_f"] == truth["j_and_f"] and row["test/plain/videos/nrows"] == 3
    next(away.glob("wandb/offline-run-*/files/tests/plain/results.json")).unlink()
    assert collect([str(away)])[0].scores == {
        "best": max(row["val/j_and_f"] for row in history if "val/j_and_f" in row)
    }
    # Killed in the middle of a record.
    (file,) = away.glob("wandb/offline-run-*/run-*.wandb")
    file.write_bytes(file.read_bytes()[:-100])
    assert [each.problem for each in collect([str(away)])] == ["not finished"]

    # A resumed run goes on under the same id.
    (name,) = ids
    assert (run / "wandb_id").read_text() == name
    first = next(run.glob("wandb/offline-run-*"))
    first.rename(run / "first")
    assert main([*RUN, f"run_dir={run}", "ckpt_path=last", "trainer.max_steps=5"]) == 0
    _, history, _, ids = read(run)
    assert ids == {name}
    assert [row["trainer/global_step"] for row in history if "train/loss" in row] == [4]
    # Together they are one run, which is finished.
    shutil.copytree(next(run.glob("wandb/offline-run-*")), away / "wandb" / f"offline-run-99999999_000000-{name}")
    (found,) = collect([str(away)])
    assert found.scores["j_and_f"] == json.loads((run / "tests/plain/results.json").read_text())["j_and_f"]


class Server:
    """The calls of W&B's API that the table makes, as its classes have them."""

    def __init__(self, **_):
        pass

    def runs(self, path):
        if path != "me/vosfw":
            raise ValueError(f"Could not find project {path}")
        return [OnlineRun("a", "finished"), OnlineRun("b", "crashed"), OnlineRun("c", "running")]


class OnlineRun:
    def __init__(self, name, state):
        self.path, self.state = ["me", "vosfw", name], state
        self.config = {"seed": 0, "choices": {"model": "demo"}, "overrides": {"model": "demo"}, "tests": {"plain": {}}}

    def scan_history(self, keys):
        return [{keys[0]: 0.25}, {keys[0]: 0.5}]

    def files(self, names):
        return [File(name) for name in names if name.endswith("results.json")]


class File:
    def __init__(self, name):
        self.name = name

    def download(self, root, replace):
        path = Path(root) / self.name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"j_and_f": 0.4, "j": 0.3, "f": 0.5, "sequences": {}}))
        return path.open()


def test_a_project_is_read_by_calls_that_wandb_has(monkeypatch):
    public = wandb.apis.public
    calls = [(Server, public.Api, "runs"), (OnlineRun, public.Run, "scan_history"), (OnlineRun, public.Run, "files")]
    for own, real, name in [*calls, (File, public.File, "download")]:
        ours, theirs = (inspect.signature(getattr(each, name)).parameters for each in (own, real))
        assert set(ours) <= set(theirs), name
    monkeypatch.setattr(wandb, "Api", Server)
    found = project("me/vosfw")
    assert [run.problem for run in found] == ["", "failed: W&B says crashed", "not finished"]
    assert found[0].scores == {"j_and_f": 0.4, "j": 0.3, "f": 0.5} and found[0].where == "wandb:me/vosfw/a"
    with pytest.raises(DatasetError, match="no project 'me/other'"):
        project("me/other")


def test_a_key_is_looked_for_without_asking(tmp_path, nobody_is_logged_in, monkeypatch):
    assert not logged_in()
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert logged_in()
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert logged_in()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not logged_in()
