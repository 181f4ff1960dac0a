"""Every file under configs/ composes, follows the naming rule and builds what it names."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from vosfw.config import compose, config_dir, instantiate
from vosfw.interfaces import Segmenter

OUTER = ("callbacks.", "pytorch_lightning.", "torch.optim.", "timm.optim.")
"""Where targets of the outer groups may be."""
OUTER_GROUPS = {"optimizer", "scheduler", "callbacks", "logger", "trainer", "experiment"}
FILES = sorted(path.relative_to(config_dir()) for path in config_dir().rglob("*.yaml"))
NO_GROUPS = ("local", "hydra", "sweep")
"""The user's own, Hydra's launchers, and W&B's sweeps (test_sweep_files.py)."""
FILES = [path for path in FILES if path.parts[0] not in NO_GROUPS]
PARTS = [path for path in FILES if len(path.parts) > 1 and path.parts[0] != "experiment"]
EXPERIMENTS = [path for path in FILES if path.parts[0] == "experiment"]
FRAME_LOSSES = [Path(f"loss/{name}.yaml") for name in ("bootstrapped_ce", "iou_ce", "mask_iou")]
HEAD = "# @package "
TABLES = sorted(path for path in (config_dir().parent / "docs" / "tables").glob("*.md") if path.stem != "README")


def options(path: Path) -> Mapping:
    return OmegaConf.to_container(OmegaConf.load(config_dir() / path)) or {}


def targets(content) -> list[str]:
    if isinstance(content, Mapping):
        own = [content["_target_"]] if "_target_" in content else []
        return own + [target for value in content.values() for target in targets(value)]
    return [target for value in content for target in targets(value)] if isinstance(content, list) else []


def selection(path: Path) -> tuple[list[str], str, str]:
    """Overrides that choose the file, the root config to do it in, and where its options land."""
    group, name = path.parent.as_posix(), path.stem
    root = "evaluate" if name in ("evaluate", "prediction_writer") else "train"
    if group == "engine" and name == "train":
        return ["engine@train_engine=train"], root, "train_engine"
    if group == "callbacks":
        head = (config_dir() / path).read_text().splitlines()[0]
        return [f"callbacks=[{name}]"], root, head.removeprefix(HEAD) if head.startswith(HEAD) else "callbacks"
    if group.startswith("model/") or path in FRAME_LOSSES:
        return [f"+{group}@part={name}"], root, "part"
    if group.startswith(("engine/", "data/")):
        return [f"{group}={name}"], root, group.replace("/", ".")
    return [f"{group}={name}"], root, group


@pytest.mark.parametrize("path", PARTS, ids=str)
def test_targets_are_spelled_like_the_path(path):
    # configs/a/b/x.yaml holds options of vosfw.a.b; what it includes with its defaults is checked there.
    content = options(path)
    own = content.get("_target_")
    group = path.parent
    prefixes = (f"vosfw.{'.'.join(group.parts)}",)
    if group.parts[0] in OUTER_GROUPS:
        prefixes += OUTER
    assert own is None or own.startswith(prefixes)
    assert own is not None or "defaults" in content
    inner = [target for target in targets(content) if target != own]
    assert all(target.startswith((f"vosfw.{group.parts[0]}.", *prefixes)) for target in inner)


@pytest.mark.parametrize("path", PARTS, ids=str)
def test_it_composes_and_builds(path, tmp_path):
    overrides, root, place = selection(path)
    if path == Path("data/folder.yaml") or path.name.startswith("davis"):
        overrides = [*overrides, f"data.root={tmp_path}"] if path.parts[0] == "data" else overrides
    config = compose([*overrides, f"run_dir={tmp_path}"], root)
    node = OmegaConf.select(config, place)
    assert node
    if "_target_" in node:
        built = instantiate(node)
        assert built is not None
        if path.parent == Path("model"):
            assert isinstance(built, Segmenter)
    else:
        assert all(instantiate(part) is not None for part in node.values())


def experiment(path: Path) -> tuple[list[str], str, tuple[str, ...]]:
    """Overrides that choose an experiment or a part of one (in a folder), the root config, and where it lands."""
    text = (config_dir() / path).read_text()
    if len(path.parts) == 2:
        root = "evaluate" if f"evaluate.py experiment={path.stem}" in text else "train"
        return [f"experiment={path.stem}"], root, ()
    group = path.parent.as_posix()
    if HEAD not in text:  # of a test
        return ["experiment=stm_tiny", f"+{group}@tests.it={path.stem}"], "train", ("tests", "it")
    own = path.relative_to("experiment").with_suffix("").as_posix()
    wholes = [whole for whole in EXPERIMENTS if len(whole.parts) == 2 and {own, f"/{group}"} & named(whole)]
    chosen = [] if own in named(wholes[0]) else [f"{group}={path.stem}"]
    return [f"experiment={wholes[0].stem}", *chosen], "train", ()


def named(path: Path) -> set[str]:
    """Groups that a whole chooses from, and parts that it takes, those of its parts included."""
    found = set()
    for part in defaults(path):
        names = {part} if isinstance(part, str) else set(part)
        found |= names
        for name in names:
            if (config_dir() / "experiment" / f"{name}.yaml").is_file():
                found |= named(Path("experiment") / f"{name}.yaml")
    return found


def defaults(path: Path) -> list[str | Mapping]:
    return list(options(path).get("defaults", []))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=str)
def test_what_an_experiment_sets_holds(path, tmp_path):
    own = {key: value for key, value in options(path).items() if key != "defaults"}
    overrides, root, landing = experiment(path)
    # What a sweep runs over is Hydra's own, and no part of the composition.
    own.pop("hydra", None)
    config = compose([*overrides, f"run_dir={tmp_path}"], root)
    composed = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)

    def compare(wanted, got, place):
        for key, value in wanted.items():
            if isinstance(value, Mapping):
                compare(value, got[key], f"{place}.{key}")
            elif isinstance(value, str) and "${" in value:
                assert got[key] and "${" not in got[key], f"{place}.{key}"
            else:
                assert got[key] == value, f"{place}.{key}"

    for name in landing:
        composed = composed[name]
    compare(own, composed, path.stem)


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_roots_compose_and_no_option_is_left_open(name, tmp_path):
    config = compose([f"run_dir={tmp_path}"], name)
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_table_has_its_command(path):
    assert path.stem.removesuffix("_statistics") in {experiment.stem for experiment in EXPERIMENTS}
