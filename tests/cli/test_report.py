"""Reports of a real small evaluation, of runs made by hand, and their pages in a real browser."""

import base64
import io
import json
import shutil
import time

import numpy as np
import pytest
import torch
from browser import address_of, opened, too_wide
from layouts import save_frame
from PIL import Image
from runs import QUIET

from vosfw.cli.evaluate import main as evaluate
from vosfw.cli.main import main as vosfw
from vosfw.cli.report_films import _shared
from vosfw.cli.report_stills import worst
from vosfw.data.io import read_mask, write_mask
from vosfw.report.page import write_page
from vosfw.report.pictures import ERRORS, OBJECTS
from vosfw.report.sections import Column, Notes, Table

HOSTILE = "<img src=x onerror=alert(1)>"
FRAMES = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two videos of two moving boxes, one with the name of an attack."""
    root = tmp_path_factory.mktemp("data")
    for video, name in enumerate(("walk", HOSTILE)):
        for t in range(FRAMES):
            frame = torch.full((3, 32, 48), 40, dtype=torch.uint8)
            labels = torch.zeros(32, 48, dtype=torch.uint8)
            labels[4 + t : 16 + t, 4:16], labels[12:24, 24 + t : 36 + t] = 5, 9
            frame[0, labels == 5], frame[1 + video, labels == 9] = 220, 220
            save_frame(root / "frames" / name / f"{t:05d}.png", frame)
            write_mask(root / "masks" / name / f"{t:05d}.png", labels)
    return root


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """The embedded network, on frames so small that there are mistakes and doubts."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    options = [
        *QUIET,
        "engine.short_side=64",
        "engine.policy.every=5",
        "data=folder",
        f"data.root={data}",
        "entropy=true",
        f"run_dir={folder}",
    ]
    assert evaluate(options) == 0
    return folder


@pytest.fixture(scope="module")
def other(run):
    """The same evaluation, with an option changed and scores of its own."""
    folder = run.parent / "other"
    shutil.copytree(run, folder)
    shutil.rmtree(folder / "entropy")
    overrides = folder / ".hydra" / "overrides.yaml"
    overrides.write_text(overrides.read_text().replace("every=5", "every=7"))
    config = folder / ".hydra" / "config.yaml"
    assert "every: 5" in config.read_text()
    config.write_text(config.read_text().replace("every: 5", "every: 7"))
    results = json.loads((folder / "results.json").read_text())
    for name in ("j_and_f", "j", "f"):
        results[name] = 0.987
    results["sequences"]["walk"]["objects"]["5"]["j_per_frame"][1] = 0.0
    results["sequences"]["walk"]["objects"]["5"]["f_per_frame"][1] = 0.0
    (folder / "results.json").write_text(json.dumps(results))
    return folder


@pytest.fixture(scope="module")
def page(run, other):
    out = run.parent / "page"
    options = ["--out", str(out), "--frames", "5", "--quiet"]
    assert vosfw(["report", str(run), str(other), *options]) == 0
    assert [path.name for path in out.iterdir()] == ["index.html"]
    return out / "index.html"


def content(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(text.split('<script id="data" type="application/json">')[1].split("</script>")[0])


def section(found, title):
    (one,) = [each for each in found["sections"] if each["title"] == title]
    return one


def pixels(address):
    return np.array(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA"))


def report(capsys, *arguments):
    """Exit code, notes on stderr, content of the page."""
    capsys.readouterr()
    *runs, out = arguments
    code = vosfw(["report", *map(str, runs), "--out", str(out), "--quiet"])
    shown = capsys.readouterr().err
    return code, shown, content(out / "index.html") if code == 0 else None


def test_tables_and_curves_are_those_of_the_results(page, run):
    found, results = content(page), json.loads((run / "results.json").read_text())
    table = section(found, "Runs")
    heads = [column["name"] for column in table["columns"]]
    one, two = (dict(zip(heads, row, strict=True)) for row in table["rows"])
    assert one["J&F"] == pytest.approx(100 * results["j_and_f"], rel=1e-4) and two["J&F"] == pytest.approx(98.7)
    assert one["FPS"] == pytest.approx(results["fps"], rel=1e-4)
    assert one["parameters (M)"] == pytest.approx(results["parameters"] / 1e6, rel=1e-4)
    assert one["J decay"] == pytest.approx(100 * results["j_decay"], rel=1e-3) and one["videos"] == 2
    assert (one["run"]["text"], two["run"]["text"]) == ("every 5", "every 7")
    rows = section(found, "Sequences and objects")["rows"]
    assert len(rows) == 2 * 2 * 3
    (row,) = [row for row in rows if row[0]["text"] == "every 5" and row[1:3] == ["walk", "object 9"]]
    scores = results["sequences"]["walk"]["objects"]["9"]
    assert row[4:7] == pytest.approx([100 * scores[key] for key in ("j_and_f", "j", "f")], rel=1e-4)
    line, lower = section(found, "J&F over time")["lines"]
    each = [one for video in results["sequences"].values() for one in video["objects"].values()]
    first = np.mean([(one["j_per_frame"][0] + one["f_per_frame"][0]) / 2 for one in each])
    assert line["values"][0] == pytest.approx(100 * first, rel=1e-4) and len(line["values"]) == 51
    assert min(lower["values"]) < min(line["values"])
    assert {row[0]: row[4] for row in section(found, "J&F by run")["rows"]} == {"walk": 0.0, HOSTILE: 0.0}


def test_pictures_show_truth_prediction_error_and_uncertainty(page, run, data):
    found = content(page)
    plain, lower = section(found, "Worst frames")["piles"]
    assert lower["cards"][0]["title"] == "walk · frame 00002 · object 5" and lower["cards"][0]["facts"][:7] == "J&F 0.0"
    assert [view["title"] for view in plain["cards"][0]["views"]] == ["truth", "prediction", "error", "uncertainty"]
    assert len(lower["cards"][0]["views"]) == 3 and "entropy=true" in section(found, "Not shown")["lines"][0]
    film = next(film for film in section(found, "Videos")["films"] if film["title"] == HOSTILE)
    assert film["names"] == [f"{t:05d}" for t in range(FRAMES)] and film["shown"] == list(range(FRAMES))
    assert [track["name"] for track in film["tracks"]] == ["every 5", "every 7"]
    t = 3
    truth = read_mask(data / "masks" / HOSTILE / f"{t:05d}.png").numpy()
    predicted = read_mask(run / "masks" / HOSTILE / f"{t:05d}.png").numpy()
    drawn = pixels(film["views"][0]["layers"][t])
    for id_, color in ((5, OBJECTS[0]), (9, OBJECTS[1])):
        assert np.array_equal((drawn[..., :3] == color).all(-1) & (drawn[..., 3] > 0), truth == id_)
    prediction, error, uncertainty = (view["layers"][t] for view in film["tracks"][0]["views"])
    assert np.array_equal(pixels(prediction)[..., 3] > 0, predicted > 0)
    assert (predicted != truth).any()
    missed = (pixels(error)[..., :3] == ERRORS["missed"]).all(-1)
    assert np.array_equal(missed, (predicted == 0) & (truth > 0))
    assert np.array_equal((pixels(error)[..., :3] == ERRORS["false"]).all(-1), (predicted > 0) & (truth == 0))
    with Image.open(run / "entropy" / HOSTILE / f"{t:05d}.png") as grey:
        unsure = np.array(grey)
    assert unsure.max() > 20, "in doubt somewhere"
    strength, order = pixels(uncertainty)[..., 3].ravel(), np.argsort(unsure.ravel(), kind="stable")
    assert (np.diff(strength[order].astype(int)) >= 0).all() and strength.min() < strength.max()
    plots = film["tracks"][0]["plots"]
    assert plots[0]["lines"][1]["values"][0] is None and plots[0]["lines"][1]["values"][t] is not None


@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(page, browser, width):
    with opened(browser, address_of(page), width=width) as shown:
        dialogs = []
        shown.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        assert too_wide(shown) == []
        assert shown.locator("h3", has_text=HOSTILE).count() > 0 and shown.locator("img[onerror]").count() == 0

        table = shown.locator("section", has=shown.get_by_role("heading", name="Runs", exact=True))
        score = table.locator("th", has_text="J&F")
        names = table.locator("tbody th")
        assert names.all_text_contents() == ["every 5", "every 7"] and score.get_attribute("aria-sort") == "none"
        score.get_by_role("button").click()
        assert names.all_text_contents() == ["every 7", "every 5"] and score.get_attribute("aria-sort") == "descending"
        score.get_by_role("button").focus()
        shown.keyboard.press("Enter")
        assert names.all_text_contents() == ["every 5", "every 7"] and score.get_attribute("aria-sort") == "ascending"
        assert score.get_by_role("button").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"

        rows = shown.locator("section", has=shown.get_by_role("heading", name="Sequences and objects"))
        rows.get_by_role("searchbox").fill("WALK object")
        assert rows.locator("tbody tr").count() == 4 and "4 of 12 rows" in rows.get_by_role("status").text_content()
        rows.get_by_label("run").select_option("every 7")
        assert rows.locator("tbody tr").count() == 2

        films = shown.locator("section", has=shown.get_by_role("heading", name="Videos"))
        slider = films.get_by_role("slider")
        pictures = films.locator(".stack img.layer")
        before = [pictures.nth(i).get_attribute("src") for i in range(3)]
        slider.focus()
        shown.keyboard.press("Home")
        shown.keyboard.press("ArrowRight")
        assert slider.input_value() == "1" and "00001 (2 of 6)" in films.locator("output").text_content()
        after = [pictures.nth(i).get_attribute("src") for i in range(3)]
        shown.keyboard.press("ArrowRight")
        moved = [pictures.nth(i).get_attribute("src") for i in range(3)]
        assert after != moved and len({*before, *after, *moved}) > 3
        films.get_by_label("video").select_option(HOSTILE)
        films.get_by_label("run").select_option("every 7")
        assert films.locator("figcaption").all_text_contents() == ["truth", "prediction", "error"]
        assert too_wide(shown) == [] and dialogs == []


def test_every_control_is_reached_by_tab(page, browser):
    with opened(browser, address_of(page)) as shown:
        count = shown.locator("a, button, input, select, [tabindex='0']").count()
        reached = set()
        for _ in range(count):
            shown.keyboard.press("Tab")
            reached.add(shown.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
        assert len(reached) == count > 40


def test_text_can_end_neither_script_nor_comment(tmp_path, browser):
    attack = "</script><script>alert(1)</script><!--<script>"
    table = Table(attack, [Column(attack)], [[attack]], attack, search=True)
    write_page(tmp_path / "index.html", attack, attack, [table, Notes("Notes", [attack, "\ud800", "\u2028"])])
    with opened(browser, address_of(tmp_path / "index.html")) as shown:
        assert shown.title() == attack and shown.locator("h1").text_content() == attack
        assert shown.locator("td, tbody th").text_content() == attack
        assert shown.locator("script").count() == 2
    code = "const s = document.createElement('script'); s.textContent = 'window.x = 1'; document.body.append(s);"
    with (
        pytest.raises(AssertionError, match="Content Security Policy"),
        opened(browser, address_of(tmp_path / "index.html")) as shown,
    ):
        assert shown.evaluate(f"() => {{ {code} return window.x === undefined; }}")


def test_moved_removed_and_unfinished(run, other, data, tmp_path, capsys):
    """One line says what is missing; the rest of the page is there."""
    moved, bare, broken, half = (tmp_path / name for name in ("moved", "bare", "broken", "half"))
    for folder in (moved, bare, broken, half):
        shutil.copytree(other if folder == broken else run, folder)
    config = moved / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace(str(data), "/nowhere"))
    code, notes, found = report(capsys, moved, tmp_path / "a")
    assert code == 0 and "no pictures" in notes and "/nowhere" in notes and notes.count("\n") == 1
    titles = [each["title"] for each in found["sections"]]
    assert "Sequences and objects" in titles and "Videos" not in titles
    code, notes, found = report(capsys, moved, "--set", f"data.root={data}", "--videos", "walk,cat", tmp_path / "b")
    assert code == 0 and [film["title"] for film in section(found, "Videos")["films"]] == ["walk"] and "cat" in notes

    shutil.rmtree(bare / "masks")
    (broken / "results.json").write_text('{"j_and_f": 0.5, "sequ')
    (half / "results.json").unlink()
    (half / "finished.json").unlink()
    code, notes, found = report(capsys, bare, broken, half, tmp_path / "c")
    assert code == 0 and "there are no masks in" in notes
    assert "results.json' is damaged" in notes and f"{half}: not finished" in notes
    assert len(section(found, "Runs")["rows"]) == 1
    code, notes, _ = report(capsys, broken, tmp_path / "d")
    assert code == 1 and "No run with a score" in notes and "damaged" in notes and "Traceback" not in notes
    for options in (["--set", "root=a"], ["--set", "data.rot=a"], ["--width", "3"]):
        code, notes, _ = report(capsys, run, *options, tmp_path / "e")
        assert code == 1 and "ConfigError" in notes and not (tmp_path / "e").exists()


def test_damaged_and_missing_masks_cost_their_own_pictures_only(run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    for name in ("walk", HOSTILE):
        (folder / "masks" / name / "00002.png").unlink()
    (folder / "masks" / "walk" / "00003.png").write_bytes(b"no picture")
    code, notes, found = report(capsys, folder, tmp_path / "out")
    assert code == 0 and "video walk" in notes and "cannot be decoded" in notes
    (film,) = section(found, "Videos")["films"]
    layers = film["tracks"][0]["views"][0]["layers"]
    assert layers[2] is None and all(layers[t] for t in (1, 3, 4))


def test_runs_on_other_videos_are_never_compared(run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    results = json.loads((folder / "results.json").read_text())
    del results["sequences"]["walk"]
    (folder / "results.json").write_text(json.dumps(results))
    code, notes, found = report(capsys, run, folder, "--frames", "0", "--videos", "0", tmp_path / "out")
    assert code == 0 and "compare within a set only" in notes
    titles = [each["title"] for each in found["sections"]]
    assert "J&F over time, set A" in titles and "J&F over time, set B" in titles and "J&F by run" not in titles
    table = section(found, "Runs")
    assert [row[1] for row in table["rows"]] == ["A", "B"] and not any(column["best"] for column in table["columns"])


def test_robustness_is_shown_relative_to_the_clean_set(run, tmp_path, capsys, browser):
    folder = tmp_path / "run"
    shutil.copytree(run / ".hydra", folder / ".hydra")
    shutil.copytree(run, folder / "tests" / "clean")

    def estimate(value):
        return {"value": value, "low": value - 0.1, "high": value + 0.1}

    sets = {"fog_1": 0.55, "fog_5": 0.25}
    (folder / "robustness.json").write_text(
        json.dumps(
            {
                "q_c": estimate(0.6),
                "q_p": estimate(0.4),
                "r_p": estimate(0.2),
                "level": 0.95,
                "sequences": 2,
                "sets": {name: {"j_and_f": estimate(q), "loss": estimate(0.6 - q)} for name, q in sets.items()},
                "perturbations": {n: {"_target_": "vosfw.data.Fog", "severity": int(n[-1])} for n in sets},
            }
        )
    )
    code, _, found = report(capsys, folder, "--videos", "1", tmp_path / "out")
    assert code == 0
    (bar,) = section(found, "Robustness")["bars"]
    assert section(found, "Robustness")["groups"] == ["fog_1 (1)", "fog_5 (5)"]
    assert (bar["reference"], bar["values"]) == (60, pytest.approx([55, 25]))
    rows = {row[0]: row[1:] for row in section(found, "Robustness in numbers")["rows"]}
    assert rows["fog_5"] == ["Fog", 5, *map(pytest.approx, (25, 15, 35, 35, 25, 45))] and rows["clean"][2] == 60
    # Sequences, curves and pictures are those of the clean set.
    assert section(found, "Sequences and objects")["rows"] and section(found, "Videos")["films"][0]["images"]
    with opened(browser, address_of(tmp_path / "out" / "index.html"), width=390) as shown:
        assert shown.locator("rect.bar").count() == 2 and too_wide(shown) == []
        wide = [float(shown.locator("rect.bar").nth(i).get_attribute("width")) for i in range(2)]
        assert wide[0] / wide[1] == pytest.approx(55 / 25, rel=0.01)
        assert "\N{MINUS SIGN}35.0" in shown.locator("svg", has=shown.locator("rect.bar")).text_content()


def test_the_page_stays_below_its_size(run, tmp_path, capsys):
    code, notes, found = report(capsys, run, "--max-mb", "0.03", tmp_path / "out")
    assert code == 0 and (tmp_path / "out" / "index.html").stat().st_size < 0.03e6 + 60_000  # tables, style and script
    pictured = [each["title"] for each in found["sections"] if each["kind"] in ("stills", "films")]
    assert "for the size of the page" in notes or "fit into the page" in notes, pictured
    assert _shared([10, 100, 40], 90) == [10, 40, 40] and _shared([1, 2], 100) == [1, 2]


def test_the_worst_frames_are_of_many_objects():
    def of(*j):
        return {"j_per_frame": list(j), "f_per_frame": list(j)}

    lost = of(0.9, *[0.0] * 9)
    video = {"frames": [str(t) for t in range(10)], "objects": {"1": lost, "2": of(*[0.8] * 9, 0.7), "3": of(0.5)}}
    found = [(each.object, each.frame) for each in worst({"sequences": {"v": video}}, 4)]
    # The first frame in which it is lost, and one some time later; object 3 has but the last frame.
    assert found == [("1", "1"), ("1", "6"), ("3", "9"), ("2", "9")]
    assert [each.object for each in worst({"sequences": {"v": video}}, 2)] == ["1", "3"]


def history(folder):
    """What an offline run logged; W&B may still be writing when it says that the run is finished."""
    from wandb.proto import wandb_internal_pb2

    from vosfw.cli.wandb_runs import _records

    for _ in range(300):
        found = []
        for data in _records(next(folder.glob("run-*.wandb")).read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            found.append(record)
        if found and found[-1].WhichOneof("record_type") == "exit":
            items = (record.history.item for record in found)
            return [{"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in row} for row in items]
        time.sleep(0.1)
    raise TimeoutError("the offline run was not closed")


def test_tables_and_curves_go_to_wandb(run, tmp_path, capsys, monkeypatch):
    for name, value in (("WANDB_API_KEY", None), ("WANDB_MODE", "offline"), ("WANDB_SILENT", "true")):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    out = tmp_path / "out"
    code, _, found = report(capsys, run, "--videos", "0", "--frames", "0", "--wandb", "project/name", out)
    assert code == 0
    (folder,) = (out / "wandb").glob("offline-run-*")
    (path,) = folder.glob("files/media/table/report/Sequences and objects*.json")
    rows = json.loads(path.read_text())["data"]
    assert [row[:2] for row in rows] == [row[:2] for row in section(found, "Sequences and objects")["rows"]]
    curve = [(row["time"], row[f"curve/{run.name}"]) for row in history(folder) if "time" in row]
    chart = section(found, "J&F over time")
    assert [time for time, _ in curve] == pytest.approx(chart["x"])
    assert [value for _, value in curve] == pytest.approx(chart["lines"][0]["values"], rel=1e-4)
