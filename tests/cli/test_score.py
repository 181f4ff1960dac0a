import csv
import json
import logging

import numpy as np
import plain_metrics
import pytest
import torch
from PIL import Image

from vosfw.cli.main import main
from vosfw.data.io import write_mask

SIZE = (40, 60)


def write(folder, labels, names=None, grey=False):
    """One PNG per label map."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, mask in enumerate(labels):
        path = folder / f"{names[index] if names else f'{index:05d}'}.png"
        if grey:
            Image.fromarray(np.asarray(mask)).save(path)
        else:
            write_mask(path, torch.from_numpy(np.asarray(mask)))


@pytest.fixture
def folders(tmp_path):
    """Two sequences to score, and their values."""
    values = {}
    for seed, (name, frames, objects) in enumerate((("boats", 12, 3), ("camel", 5, 1))):
        pred, truth = plain_metrics.blobs(frames, objects, SIZE, seed)
        write(tmp_path / "pred" / name, pred)
        write(tmp_path / "gt" / name, truth)
        values[name] = plain_metrics.j_and_f(pred[1:-1], truth[1:-1], objects)
    return tmp_path / "pred", tmp_path / "gt", values


def score(folders, *options):
    return main(["score", "--pred", str(folders[0]), "--gt", str(folders[1]), "--quiet", *options])


def results(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def refused(folders, capsys, *options):
    """The message of a refusal, before which nothing was written."""
    before = sorted(folders[0].rglob("*"))
    assert score(folders, *options) == 1
    assert sorted(folders[0].rglob("*")) == before
    return capsys.readouterr().err


def test_the_figures_are_those_of_the_masks(folders, capsys):
    assert score(folders) == 0
    pred, _, values = folders
    found = results(pred)
    j, f = (np.mean([v for each in values.values() for v in each[side].mean(0)]) for side in (0, 1))
    assert found["j"] == pytest.approx(j, abs=1e-12)
    assert found["f"] == pytest.approx(f, abs=1e-12)
    assert found["j_and_f"] == pytest.approx((j + f) / 2, abs=1e-12)
    boats = found["sequences"]["boats"]
    assert list(boats["objects"]) == ["1", "2", "3"]
    assert boats["frames"] == [f"{t:05d}" for t in range(1, 11)]
    assert boats["objects"]["2"]["j_per_frame"] == pytest.approx(values["boats"][0][:, 1].tolist(), abs=1e-12)
    with (pred / "results.csv").open(newline="") as file:
        rows = {(row["sequence"], row["object"]): row for row in csv.DictReader(file)}
    assert float(rows["", ""]["j_and_f"]) == found["j_and_f"]
    assert float(rows["camel", "1"]["f_decay"]) == found["sequences"]["camel"]["objects"]["1"]["f_decay"]
    shown = capsys.readouterr().out.splitlines()
    assert shown[2].split()[:2] == ["all", f"{found['j_and_f']:.4f}"]
    assert str(pred / "results.json") in shown[-1]


def test_out_names_another_folder(folders, tmp_path):
    before = sorted(folders[0].rglob("*"))
    assert score(folders, "--out", str(tmp_path / "deep" / "out")) == 0
    assert sorted(folders[0].rglob("*")) == before
    assert {path.name for path in (tmp_path / "deep" / "out").iterdir()} == {"results.csv", "results.json"}


def test_davis16_joins_the_objects(folders):
    pred, gt, _ = folders
    assert score(folders, "--protocol", "davis16") == 0
    j = []
    for name in ("boats", "camel"):
        masks = [
            np.stack([np.array(Image.open(file)) > 0 for file in sorted((root / name).glob("*.png"))])[1:-1].astype(
                np.uint8
            )
            for root in (pred, gt)
        ]
        j.append(plain_metrics.j_and_f(*masks, 1)[0].mean())
    assert results(pred)["j"] == pytest.approx(np.mean(j), abs=1e-12)
    assert results(pred)["protocol"] == "davis16"


@pytest.mark.parametrize("protocol", ["davis16", "davis17"])
def test_greyscale_and_black_and_white_masks(tmp_path, protocol):
    pred, truth = plain_metrics.blobs(5, 1, SIZE)
    write(tmp_path / "gt" / "a", truth * 255, grey=True)  # as DAVIS 2016 stores them
    write(tmp_path / "pred" / "a", pred, grey=True)
    assert score((tmp_path / "pred", tmp_path / "gt"), "--protocol", protocol) == 0
    j, _ = plain_metrics.j_and_f(pred[1:-1], truth[1:-1], 1)
    assert results(tmp_path / "pred")["j"] == pytest.approx(j.mean(), abs=1e-12)


def test_every_id_up_to_the_highest_is_an_object(folders):
    pred, gt, _ = folders
    for root in (pred, gt):
        labels = np.zeros((4, *SIZE), np.uint8)
        labels[:, 10:20, 10:20] = 3
        write(root / "gaps", labels)
    assert score(folders) == 0
    assert {key: found["j"] for key, found in results(pred)["sequences"]["gaps"]["objects"].items()} == {
        "1": 1.0,
        "2": 1.0,
        "3": 1.0,
    }


def test_an_object_of_the_first_frame_only_counts(folders):
    pred, gt, _ = folders
    labels = np.zeros((4, *SIZE), np.uint8)
    write(pred / "gone", labels)
    labels[0, 10:20, 10:20] = 2
    write(gt / "gone", labels)
    assert score(folders) == 0
    assert list(results(pred)["sequences"]["gone"]["objects"]) == ["1", "2"]


def test_first_and_last_prediction_are_not_needed(folders):
    assert score(folders) == 0
    wanted = results(folders[0])
    for name in ("00000", "00011"):
        (folders[0] / "boats" / f"{name}.png").unlink()
    assert score(folders) == 0
    assert results(folders[0]) == wanted


def test_a_sequence_with_one_mask_is_named(folders, capsys):
    write(folders[1] / "fish", np.ones((1, *SIZE), np.uint8))
    assert score(folders) == 0
    assert "fish: not scored, only 1 frame with a mask" in capsys.readouterr().out
    assert list(results(folders[0])["unscored"]) == ["fish"]
    assert list(results(folders[0])["sequences"]) == ["boats", "camel"]


def test_sparse_truth(folders):
    """Predictions of frames without a truth do not count, and numbers sort as numbers."""
    pred, truth = plain_metrics.blobs(10, 2, SIZE)
    names = [str(5 * t) for t in range(10)]  # "10" sorts before "5" as text
    write(folders[0] / "sparse", pred, names)
    write(folders[1] / "sparse", truth[::3], names[::3])
    assert score(folders) == 0
    found = results(folders[0])["sequences"]["sparse"]
    assert found["frames"] == ["15", "30"]
    assert found["j"] == pytest.approx(plain_metrics.j_and_f(pred[[3, 6]], truth[[3, 6]], 2)[0].mean(), abs=1e-12)


def test_what_was_predicted_in_excess_is_reported(folders, caplog):
    pred, _, _ = folders
    assert score(folders) == 0
    wanted = results(pred)
    write(pred / "dogs", np.ones((2, *SIZE), np.uint8))
    write(pred / "boats", np.ones((1, *SIZE), np.uint8), ["00099"])
    mask = np.array(Image.open(pred / "camel" / "00001.png"))
    mask[mask == 0] = 9
    write(pred / "camel", [mask], ["00001"])
    with caplog.at_level(logging.WARNING):
        assert score(folders) == 0
    assert "not in the truth, ignored: 'dogs'" in caplog.text
    assert "boats: frames without a truth, ignored: '00099'" in caplog.text
    assert "camel: predicted objects [9] are not in the truth" in caplog.text
    assert results(pred) == wanted


def test_missing_sequence(folders, capsys):
    for path in (folders[0] / "camel").iterdir():
        path.unlink()
    assert "no folder of PNGs for 'camel', out of 2 sequences" in refused(folders, capsys)


def test_missing_frames(folders, capsys):
    for number in (3, 4):
        (folders[0] / "boats" / f"{number:05d}.png").unlink()
    assert "boats' has no mask for frame '00003', '00004'" in refused(folders, capsys)


def test_other_size(folders, capsys):
    write(folders[0] / "boats", np.ones((1, 41, 60), np.uint8), ["00007"])
    message = refused(folders, capsys)
    assert "00007.png' is 41x60 (height x width), the truth 40x60" in message
    write(folders[1] / "boats", np.ones((1, 40, 61), np.uint8), ["00002"])
    assert "00002.png' is 40x61 (height x width), the first mask of the truth 40x60" in refused(folders, capsys)


def test_a_photograph_for_a_mask(folders, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folders[0] / "camel" / "00001.png")
    assert "different colours" in refused(folders, capsys)


@pytest.fixture
def youtube(tmp_path):
    """Object 3 from the start, object 9 from frame 00010; the prediction misses half of 3 and all of 9 in the last."""
    for t in range(0, 20, 5):
        truth = torch.zeros(SIZE, dtype=torch.uint8)
        truth[4:12, 4:12] = 3
        pred = truth.clone()
        if t >= 10:
            truth[4:12, 16:24] = pred[4:12, 16:24] = 9
        if t == 15:
            pred[4:8, 4:12] = pred[4:12, 16:24] = 0
        write_mask(tmp_path / "gt" / "clip" / f"{t:05d}.png", truth)
        write_mask(tmp_path / "pred" / "clip" / f"{t:05d}.png", pred)
    for name, categories in (("meta", {"3": "cat", "9": "ape"}), ("seen", {"1": "cat"})):
        objects = {id_: {"category": category} for id_, category in categories.items()}
        (tmp_path / f"{name}.json").write_text(json.dumps({"videos": {"clip": {"objects": objects}}}))
    return tmp_path


def youtube_options(folder):
    paths = ["--pred", str(folder / "pred"), "--gt", str(folder / "gt")]
    return ["score", *paths, "--protocol", "youtube", "--quiet"]


def test_youtube_protocol_by_hand(youtube, capsys):
    options = youtube_options(youtube)
    files = ["--meta", str(youtube / "meta.json"), "--seen", str(youtube / "seen.json")]
    assert main([*options, *files]) == 0
    found = json.loads((youtube / "pred" / "results.json").read_text())
    # Object 3 in frames 5, 10 and 15 (the last one counts); object 9 in frame 15 alone.
    seen, unseen = found["groups"]["seen"], found["groups"]["unseen"]
    assert seen["j"] == pytest.approx((1 + 1 + 0.5) / 3) and unseen["j"] == 0
    assert found["sequences"]["clip"]["objects"]["9"]["j_per_frame"] == [0.0]
    assert found["j_and_f"] == pytest.approx((seen["j"] + seen["f"] + unseen["j"] + unseen["f"]) / 4)
    assert "seen" in capsys.readouterr().out
    assert main(options) == 0
    found = json.loads((youtube / "pred" / "results.json").read_text())
    assert "groups" not in found and found["j"] == pytest.approx(seen["j"] / 2)


def test_categories_need_both_files(youtube, capsys):
    options = youtube_options(youtube)
    assert main([*options, "--meta", str(youtube / "meta.json")]) == 1
    assert "--meta and --seen belong together" in capsys.readouterr().err
    assert main([*options, "--meta", "no.json", "--seen", "no.json"]) == 1
    assert "No file 'no.json'" in capsys.readouterr().err


@pytest.mark.parametrize("side", [0, 1])
def test_damaged_file(folders, capsys, side):
    path = folders[side] / "boats" / "00005.png"
    path.write_bytes(path.read_bytes()[:-40])
    assert "00005.png' cannot be decoded" in refused(folders, capsys)


@pytest.mark.parametrize(
    ("pred", "gt", "message"), [("no", "gt", "No folder"), ("pred", "no", "No folder"), ("pred", ".", "No seq")]
)
def test_no_such_folder(folders, capsys, pred, gt, message):
    root = folders[0].parent
    assert message in refused((root / pred, root / gt), capsys)
    assert not (root / "no").exists()


def test_unwritable_output(folders, capsys):
    (folders[0].parent / "file").write_text("kept")
    assert "Cannot write" in refused(folders, capsys, "--out", str(folders[0].parent / "file"))
    assert (folders[0].parent / "file").read_text() == "kept"


def test_progress_is_shown(folders, capsys):
    assert main(["score", "--pred", str(folders[0]), "--gt", str(folders[1])]) == 0
    shown = capsys.readouterr().err
    assert "13/13" in shown
    assert "frame/s" in shown
