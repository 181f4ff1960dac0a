import csv
import json
import zipfile

import numpy as np
import pytest
import torch
from layouts import boxes, make_davis, make_youtube
from PIL import Image
from runs import DATA, EVALUATE, QUIET, SMALL_PCVOS, TRAIN, command

from vosfw import hub
from vosfw.cli.evaluate import about, main
from vosfw.cli.stored import with_checkpoint
from vosfw.cli.train import main as train
from vosfw.config import choices, compose, config_dir, instantiate
from vosfw.data.io import read_mask, write_mask
from vosfw.ledger import Ledger
from vosfw.metrics import j_and_f
from vosfw.model.memory_network import MemoryNetwork

CONFIGS = config_dir() / "experiment"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    options = ["trainer.max_steps=50", "trainer.val_check_interval=50", "optimizer.lr=0.003", "engine.policy.every=4"]
    assert train([*TRAIN, *options, f"run_dir={folder}"]) == 0
    return folder


@pytest.fixture
def checkpoint(run):
    return f"ckpt_path={run}/checkpoints/best.ckpt"


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_table_files_and_masks(checkpoint, tmp_path, capsys):
    assert main([*EVALUATE, checkpoint, f"run_dir={tmp_path}", "zip=true"]) == 0
    shown = capsys.readouterr().out
    found = results(tmp_path)
    assert {"j_and_f", "j", "f", "sequences", "fps", "peak_cpu_memory_mib"} <= found.keys()
    assert found["j_and_f"] > 0.02, "too bad to tell right from wrong"
    assert found["j_and_f"] == pytest.approx((found["j"] + found["f"]) / 2)
    assert set(found["sequences"]) == {"test-0000", "test-0001", "test-0002"}
    for name in ("J&F", "test-0001", f"{found['j_and_f']:.4f}", "frames per second", "peak memory", str(tmp_path)):
        assert name in shown
    assert "UNTRAINED" not in shown
    with (tmp_path / "results.csv").open() as file:
        assert {row["sequence"] for row in csv.DictReader(file)} == {"", *found["sequences"]}

    data = compose([*DATA, f"run_dir={tmp_path}"], "evaluate").data
    dataset = instantiate(data).dataset("test")
    scores = []
    for index in range(3):
        video = dataset.video(index)
        files = sorted((tmp_path / "masks" / video.name).iterdir())
        assert [file.stem for file in files] == list(video.frames)
        masks = np.stack([np.array(Image.open(file)) for file in files])
        assert np.array_equal(masks[0], video.id_map(0).numpy())
        assert Image.open(files[0]).mode == "P"
        slots = np.zeros(256, np.uint8)
        slots[list(video.ids)] = np.arange(1, len(video.ids) + 1)
        truth = torch.stack([video.truth(t) for t in range(1, 5)])
        j, f = j_and_f(torch.from_numpy(slots[masks[1:-1]]), truth, len(video.ids))
        scores += ((j.mean(0) + f.mean(0)) / 2).tolist()
    assert found["j_and_f"] == pytest.approx(np.mean(scores))
    with zipfile.ZipFile(tmp_path / "masks.zip") as archive:
        assert len(archive.namelist()) == 18 and "test-0000/00000.png" in archive.namelist()


def composed(checkpoint, *overrides):
    arguments = with_checkpoint([*EVALUATE, checkpoint, *overrides])
    return compose([a for a in arguments if not a.startswith("-")], "evaluate")


def test_model_and_engine_are_the_checkpoints(checkpoint):
    config = composed(checkpoint)
    assert config.model.key_dim == 8
    assert config.engine.policy.every == 4
    assert config.engine == compose(["engine.policy.every=4"]).engine


def test_options_of_the_command_line_apply_on_top(checkpoint):
    config = composed(checkpoint, "engine.policy.every=2", "engine/augment=flip", "model.memory.top_k=7")
    assert config.engine.policy.every == 2 and config.engine.augment.flip and config.model.memory.top_k == 7
    assert config.model.key_dim == 8


def test_options_change_the_result(checkpoint, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    assert main([*EVALUATE, checkpoint, f"run_dir={a}"]) == 0
    assert main([*EVALUATE, checkpoint, f"run_dir={b}", "engine.short_side=64", "engine/augment=flip"]) == 0
    assert results(a)["j_and_f"] != results(b)["j_and_f"]


def test_a_converted_file_does_as_well(run, checkpoint, tmp_path):
    stored = hub.read_checkpoint(run / "checkpoints" / "best.ckpt")
    path = tmp_path / "network.safetensors"
    hub.save(path, stored.weights, stored.name, stored.model, stored.engine)
    assert main([*EVALUATE, f"ckpt_path={path}", f"run_dir={tmp_path / 'a'}"]) == 0
    assert main([*EVALUATE, checkpoint, f"run_dir={tmp_path / 'b'}"]) == 0
    assert results(tmp_path / "a")["sequences"] == results(tmp_path / "b")["sequences"]


def test_without_anything_the_embedded_network_is_evaluated(tmp_path, capsys):
    assert main([*EVALUATE, "data.test.videos=1", "engine.short_side=64", f"run_dir={tmp_path}"]) == 0
    assert results(tmp_path)["model"] == "embedded"
    assert "UNTRAINED" not in capsys.readouterr().out


def test_without_a_checkpoint_it_says_so(tmp_path, capsys):
    assert main([*EVALUATE, "data.test.videos=1", "model=demo", f"run_dir={tmp_path}/a"]) == 0
    assert capsys.readouterr().out.count("UNTRAINED") == 2, "wanted before the work and below the table"
    assert results(tmp_path / "a")["model"] == "demo"
    assert main([*EVALUATE, "data.test.videos=1", "model=copy_first", f"run_dir={tmp_path}/b"]) == 0
    assert "UNTRAINED" not in capsys.readouterr().out, "it has no weights to train"
    assert main([*EVALUATE[: len(DATA)], "data.test.videos=1", "quiet=true", f"run_dir={tmp_path}/c"]) == 0
    assert capsys.readouterr().out == "" and (tmp_path / "c" / "results.json").exists()


def test_youtube_vos_with_its_protocol_and_zip(tmp_path, capsys):
    """Every fourth frame is wanted; an unseen object joins late; only what the server asks for is in the zip."""
    root = make_youtube(tmp_path / "data")
    options = ["data=youtube_vos", f"data.root={root}", "metrics=youtube", "model=copy_first", "zip=true", *QUIET]
    options += ["data.test.all_frames=true", "callbacks.prediction_writer.zip_folder=Annotations"]
    assert main([*options, f"run_dir={tmp_path}/valid"]) == 0
    with zipfile.ZipFile(tmp_path / "valid" / "masks.zip") as archive:
        assert archive.namelist() == [f"Annotations/b/{t:05d}.png" for t in (0, 5, 10, 15)]
    ids = [
        set(read_mask(tmp_path / "valid" / "masks" / "b" / f"{t:05d}.png").unique().tolist()) for t in (0, 5, 10, 15)
    ]
    assert ids == [{0, 3}, {0, 3}, {0, 3, 5}, {0, 3, 5}]
    for t in (5, 15):
        write_mask(root / "valid" / "Annotations" / "b" / f"{t:05d}.png", boxes((3,) if t < 10 else (3, 5), 0))
    assert main([*options, f"run_dir={tmp_path}/scored"]) == 0
    assert set(results(tmp_path / "scored")["groups"]) == {"seen", "unseen"}
    assert "unseen" in capsys.readouterr().out


PCVOS = [option for option in SMALL_PCVOS if option != "model=pcvos"]


def test_pcvos_on_davis(tmp_path):
    """Its protocol, and clips of another length; with small and random weights."""
    root = make_davis(tmp_path / "data")
    options = ["experiment=pcvos_davis17", f"data.root={root}", *PCVOS, *QUIET]
    found = {}
    for length, overlap in ((5, 0), (2, 1)):
        run = tmp_path / f"clips of {length}"
        assert main([*options, f"engine.clip_length={length}", f"engine.overlap={overlap}", f"run_dir={run}"]) == 0
        found[length] = results(run)
        assert sorted(path.stem for path in (run / "masks" / "bird").iterdir()) == [f"{t:05d}" for t in range(4)]
    assert found[5]["model"] == found[2]["model"] == "pcvos"
    config = compose(options, "evaluate")
    assert (config.engine.policy.every, config.engine.clip_length) == ("clip", 5)
    assert config.model.memory.base.max_frames is None


def test_pcvos_predicts_every_frame_of_youtube_vos(tmp_path, monkeypatch):
    """Clips are of neighbouring frames; the zip has what the server asks for."""
    spans = []

    def segment(self, features, state, original=MemoryNetwork.segment):
        spans.append(features.frames.shape[1])
        return original(self, features, state)

    monkeypatch.setattr(MemoryNetwork, "segment", segment)
    root = make_youtube(tmp_path / "data")
    options = ["experiment=pcvos_youtube19", f"data.root={root}", "zip=true", "engine.short_side=64", *PCVOS, *QUIET]
    assert main([*options, f"run_dir={tmp_path}/all"]) == 0
    # Frames 1 to 10, where the second object joins, and 11 to 19.
    assert spans == [5, 5, 5, 4]
    with zipfile.ZipFile(tmp_path / "all" / "masks.zip") as archive:
        assert archive.namelist() == [f"Annotations/b/{t:05d}.png" for t in (0, 5, 10, 15)]
    spans.clear()
    assert main([*options, "data.test.all_frames=false", f"run_dir={tmp_path}/few"]) == 0
    assert spans == [2, 1]


def test_an_interrupted_evaluation_goes_on(checkpoint, tmp_path, monkeypatch, capsys):
    class StoppedError(Exception):
        pass

    def stop(self, video, measures, add=Ledger.add):
        if len(self.done) == 1:
            raise StoppedError
        add(self, video, measures)

    assert main([*EVALUATE, checkpoint, f"run_dir={tmp_path}/whole"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "add", stop)
        assert main([*EVALUATE, checkpoint, f"run_dir={tmp_path}/broken"]) != 0
    assert not (tmp_path / "broken" / "results.json").exists()
    assert main([*EVALUATE, checkpoint, f"run_dir={tmp_path}/broken", "resume=true", "engine.policy.every=2"]) == 1
    assert "other engine" in capsys.readouterr().err
    assert main([*EVALUATE, checkpoint, f"run_dir={tmp_path}/broken", "resume=true"]) == 0
    whole, broken = results(tmp_path / "whole"), results(tmp_path / "broken")
    assert broken["sequences"] == whole["sequences"] and broken["j_and_f"] == whole["j_and_f"]
    assert not (tmp_path / "broken" / ".vosfw").exists()


def test_sequences_with_only_a_first_mask(tmp_path, capsys):
    root = tmp_path / "data"
    for name, masks in (("first", 1), ("known", 4)):
        for t in range(4):
            (root / "frames" / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (48, 32), (10 * t, 50, 90)).save(root / "frames" / name / f"{t:05d}.png")
            labels = torch.zeros(32, 48, dtype=torch.uint8)
            labels[8:20, 8 + t : 20 + t] = 5
            if t < masks:
                write_mask(root / "masks" / name / f"{t:05d}.png", labels)
    folder = tmp_path / "run"
    options = ["data=folder", f"data.root={root}", "model=copy_first", *QUIET]
    assert main([*options, f"run_dir={folder}"]) == 0
    assert set(results(folder)["sequences"]) == {"known"} and set(results(folder)["unscored"]) == {"first"}
    assert "first: not scored" in capsys.readouterr().out
    assert len(list((folder / "masks" / "first").iterdir())) == 4
    assert set(np.unique(np.array(Image.open(folder / "masks" / "first" / "00003.png")))) == {0, 5}


@pytest.mark.parametrize(
    ("overrides", "kind", "parts"),
    [
        (["model=copy_first"], "CheckpointError", ["another composition", "'demo'", "'copy_first'", "model._target_"]),
        (["model.key_dim=16"], "CheckpointError", ["do not fit this composition"]),
        (["data.test.vidoes=3"], "ConfigError", ["data.test.vidoes", "data.test.videos"]),
        (["engine.policy.every=0"], "ConfigError", ["engine.policy.every is 0"]),
        (["data=davis", "data.root=/nowhere"], "DatasetError", ["/nowhere"]),
        (["data=dvais"], "ConfigError", ["data=dvais: no such choice; did you mean davis"]),
    ],
)
def test_bad_input_gets_one_clear_message(checkpoint, tmp_path, capsys, overrides, kind, parts):
    base = EVALUATE if not any(o.startswith("data=") for o in overrides) else EVALUATE[len(DATA) :]
    assert main([*base, checkpoint, f"run_dir={tmp_path}", *overrides]) in (1, 2)
    message = capsys.readouterr().err
    assert f"vosfw: {kind}" in message and all(part in message for part in parts), message
    assert "Traceback" not in message
    assert not (tmp_path / "results.json").exists()


def test_an_unwritable_output_is_refused_before_work_starts(checkpoint, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main([*EVALUATE, checkpoint, f"run_dir={tmp_path}/file/run"]) == 2
    assert "OutputError" in capsys.readouterr().err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "masks").write_text("in the way")
    assert main([*EVALUATE, checkpoint, f"run_dir={tmp_path}/run"]) == 1
    message = capsys.readouterr().err
    assert "OutputError: cannot write masks to" in message and "Traceback" not in message


@pytest.mark.parametrize("text", ["", "not a checkpoint"])
def test_a_damaged_checkpoint(tmp_path, capsys, text):
    path = tmp_path / "broken.ckpt"
    path.write_text(text)
    assert main([*EVALUATE, f"ckpt_path={path}", f"run_dir={tmp_path}/run"]) == 1
    assert "CheckpointError" in capsys.readouterr().err


def test_a_checkpoint_that_would_run_code_is_refused(run, tmp_path, capsys):
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    content["vosfw"]["model"]["encoder"] = {"_target_": "os.system", "command": f"touch {tmp_path}/owned"}
    torch.save(content, tmp_path / "evil.ckpt")
    assert main([*EVALUATE, f"ckpt_path={tmp_path}/evil.ckpt", f"run_dir={tmp_path}/run"]) == 1
    assert "refused target 'os.system'" in capsys.readouterr().err
    assert not (tmp_path / "owned").exists()


TEXTS = {name: (CONFIGS / f"{name}.yaml").read_text() for name in choices("experiment")}
# The last two need a sweep, where one network damages the memory of the other: test_cycle_tables.py.
TRAINED = [
    name for name, text in TEXTS.items() if "python train.py" in text and name not in ("cycle_table6", "cycle_table7")
]
# The robustness benchmark has no network of its own: test_robustness.py.
EVALUATED = [
    name
    for name, text in TEXTS.items()
    if f"python evaluate.py experiment={name}" in text and not name.startswith("robustness")
]
SMALL = ["model.encoder.name=resnet18", "model.value_dim=32", "model.decoder.widths=[32,16,16]"]
MIXTURE = ["data.train.repeats=1", "~data.train.ratios", "~data.train.repeats"]
SMALL_MATCHING = ["model.encoder.name=resnet18", "model.encoder.width=32", "model.ensembler.out_channels=32"]
SMALL_STM = [
    "model.encoder.name=resnet18",
    "model.value_encoder.trunk.name=resnet18",
    "model.key_dim=16",
    "model.value_dim=32",
    "model.decoder.width=16",
]
# Small as they are.
TINY = (
    "stm_tiny",
    "stm_overfit",
    "kmn_tiny",
    "gcm_tiny",
    "cycle_",
    "pcvos_tiny",
    "pcvos_overfit",
    "pcvos_table",
    "pcvos_figure",
)


def small(name):
    if name.startswith(TINY):
        return ["data.test.videos=1"]
    if name.startswith("stm"):
        return SMALL_STM
    return SMALL_MATCHING if name.startswith(("aoc", "cfbi", "rpcm")) else SMALL


@pytest.mark.parametrize("name", EVALUATED)
def test_experiments_run(name, tmp_path):
    options = ["data=synthetic", "data.split=test", *EVALUATE, "data.test.videos=1", f"experiment={name}"]
    options.append(f"run_dir={tmp_path}")
    if name.startswith("pcvos_youtube"):
        options.append("~data.test.all_frames")
    assert main([*options, *small(name), "engine.short_side=null"]) == 0
    assert results(tmp_path)["j_and_f"] >= 0


@pytest.mark.parametrize("name", TRAINED)
def test_experiments_train(name, tmp_path):
    """Two steps, with all that needs files, two GPUs or hours taken out."""
    options = [item for item in TRAIN if not item.startswith("model")]
    options += [f"experiment={name}", "data=synthetic", "data/augment=none", f"run_dir={tmp_path}"]
    options += ["trainer.max_steps=2", "trainer.devices=1", "trainer.precision=32-true", "trainer.val_check_interval=2"]
    options += {
        "embedded": ["data.train.photographs=null"],
        "finetune": [],  # the embedded network, which is small
        "aoc_davis": [*SMALL_MATCHING, *MIXTURE],
        "rpcm_davis": [*SMALL_MATCHING, *MIXTURE],
        "stm_cycle": [
            *SMALL_STM,
            "engine.letterbox=null",
            "model.encoder.pretrained=false",
            "model.value_encoder.trunk.pretrained=false",
        ],
        "pcvos_stage1": [*SMALL, "model.encoder.pretrained=false", "model.value_encoder.trunk.pretrained=false"],
        "stcn_stage0": [*SMALL, "model.encoder.pretrained=false", "model.value_encoder.trunk.pretrained=false"],
    }.get(name, small(name))
    if name.startswith("pcvos"):
        # Two clips of up to four frames.
        options.append("data.train.length=9")
    assert train(options) == 0
    # Without a validation there is no best one.
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()


def test_a_sweep_evaluates_every_choice(checkpoint, tmp_path):
    sweep = [
        *EVALUATE,
        checkpoint,
        "data.test.videos=1",
        "engine.policy.every=1,5",
        f"hydra.sweep.dir={tmp_path}",
        "-m",
    ]
    assert main(sweep) == 0
    assert [results(tmp_path / str(i))["sequences"].keys() for i in range(2)] == [{"test-0000"}] * 2


@pytest.mark.slow
@pytest.mark.parametrize("videos", [1, 3])
def test_two_processes_agree_with_one(checkpoint, tmp_path, videos):
    one, two = tmp_path / "one", tmp_path / "two"
    options = [*EVALUATE, checkpoint, "zip=true", "engine.policy.every=2", f"data.test.videos={videos}"]
    assert main([*options, f"run_dir={one}"]) == 0
    done = command("evaluate.py", *options, f"run_dir={two}", "trainer.devices=2", "trainer.strategy=ddp")
    assert done.returncode == 0, done.stderr
    assert results(one)["sequences"] == results(two)["sequences"]
    assert results(one)["j_and_f"] == results(two)["j_and_f"]
    files = sorted(path.relative_to(one / "masks") for path in (one / "masks").glob("*/*.png"))
    assert len(files) == 6 * videos
    for path in files:
        assert (one / "masks" / path).read_bytes() == (two / "masks" / path).read_bytes()
    assert (two / "masks.zip").read_bytes()[:2] == b"PK" and "J&F" in done.stdout


def test_help_and_config_are_shown(capsys):
    assert main(["--cfg", "job", "engine.policy.every=9"]) == 0
    shown = capsys.readouterr().out
    assert "every: 9" in shown and "embedded.safetensors" in shown
    assert main(["--help"]) == 0
    assert "ckpt_path" in capsys.readouterr().out


def test_gradient_correction(checkpoint, tmp_path, capsys):
    """Acts through memory, may be published, refuses networks whose masks are hard before any work."""
    found = {}
    for name, options in {
        "none": ["engine/corrector=none"],
        "still": ["engine/corrector=gradient", "engine.corrector.rate=0"],
        "moved": ["engine/corrector=gradient", "engine.corrector.rate=20"],
        "shown": ["engine/corrector=gradient", "engine.corrector.rate=20", "engine.corrector.publish=true"],
    }.items():
        every = ["engine.corrector.every=2", "engine.corrector.steps=3"] if name != "none" else []
        folder = tmp_path / name
        options = [*options, *every, "engine.policy.every=2"]
        assert main([*EVALUATE, checkpoint, f"run_dir={folder}", *options]) == 0
        found[name] = {
            path.relative_to(folder / "masks"): read_mask(path) for path in sorted(folder.glob("masks/*/*.png"))
        }
    changed = {
        name: {int(path.stem) for path, mask in masks.items() if not np.array_equal(mask, found["none"][path])}
        for name, masks in found.items()
    }
    assert changed["still"] == set()
    assert changed["moved"] and min(changed["moved"]) > 2
    assert changed["shown"] and min(changed["shown"]) == 2
    capsys.readouterr()
    refused = ["model=copy_first", "engine/corrector=gradient", f"run_dir={tmp_path / 'refused'}"]
    assert main([*EVALUATE, *refused]) == 1
    assert "cannot correct masks of this CopyFirst" in capsys.readouterr().err


def test_noise_on_remembered_masks_by_name(checkpoint, tmp_path, run):
    black_box = f"engine.interference.source={run}/checkpoints/best.ckpt"
    every = ["engine.policy.every=1", "quiet=true"]
    cases = {
        "none": [],
        "off": ["engine/interference=fgsm", "engine.interference.eps=0"],
        "fgsm": ["engine/interference=fgsm", "engine.interference.eps=60"],
        "mi_fgsm": ["engine/interference=mi_fgsm", "engine.interference.steps=3", "engine.interference.eps=60"],
        "black": ["engine/interference=fgsm", "engine.interference.eps=60", black_box],
        "box": ["engine/interference=box"],
        "low_quality": ["engine/interference=low_quality", "engine.interference.options={short_side:24}"],
    }
    masks = {}
    for name, options in cases.items():
        folder = tmp_path / name
        assert main([*EVALUATE, checkpoint, *every, *options, f"run_dir={folder}"]) == 0
        files = sorted((folder / "masks").rglob("*.png"))
        masks[name] = np.stack([np.array(Image.open(file)) for file in files])
    assert np.array_equal(masks["none"], masks["off"])
    assert np.array_equal(masks["fgsm"], masks["black"]), "the same weights make the same noise"
    differ = [name for name in cases if not np.array_equal(masks["none"], masks[name])]
    assert differ == ["fgsm", "mi_fgsm", "black", "box", "low_quality"]


def test_what_an_interference_lacks_is_said_before_work(checkpoint, tmp_path, capsys):
    root = make_youtube(tmp_path / "data")
    data = ["data=youtube_vos", f"data.root={root}", "data.split=valid", *QUIET]
    assert main([checkpoint, *data, "engine.policy.every=1", "engine/interference=box", f"run_dir={tmp_path}"]) == 1
    assert "needs true masks" in capsys.readouterr().err
    missing = f"engine.interference.source={tmp_path}/none.ckpt"
    assert main([*EVALUATE, checkpoint, "engine/interference=low_quality", missing, f"run_dir={tmp_path}"]) == 1
    assert "none.ckpt" in capsys.readouterr().err
    hard = ["model=copy_first", "engine/interference=fgsm"]
    assert main([*EVALUATE, *hard, f"run_dir={tmp_path}"]) == 1
    assert "hardens masks" in capsys.readouterr().err
    assert not (tmp_path / "masks").exists()


def test_another_source_is_another_evaluation(tmp_path):
    config = compose([*EVALUATE, "engine/interference=low_quality", f"run_dir={tmp_path}"], "evaluate")
    config.engine.interference.source = str(tmp_path / "weak.ckpt")
    network = hub.load(weights=None)
    found = []
    for content in ("one", "two"):
        (tmp_path / "weak.ckpt").write_text(content)
        found.append(about(config, network))
    assert found[0] != found[1]


def test_other_options_of_the_network_are_another_evaluation():
    """Options that change no weight."""
    network = hub.load("demo", weights=None)
    found = [
        about(compose([*EVALUATE, "model=demo", *more], "evaluate"), network) for more in ([], ["model.memory.top_k=5"])
    ]
    assert found[0] != found[1]
