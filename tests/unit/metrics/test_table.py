import csv
import io
import json
import math

import pytest

from vosfw.metrics import JAndFResult, ObjectResult, Score, SequenceResult, to_csv, to_json, to_text


def score(value):
    return Score(value, value + 0.0625, 1.0, -0.25, value - 0.0625, 0.5, 0.125)


@pytest.fixture
def result():
    objects = {key: ObjectResult(score(0.1 * key), (0.25, 0.75), (0.5, 1.0)) for key in (1, 7)}
    return JAndFResult(
        "davis17",
        score(0.4),
        {
            "bike-packing": SequenceResult(score(0.3), ("00001", "00002"), objects),
            "judo": SequenceResult(score(0.5), ("00001",), {3: ObjectResult(score(0.5), (0.25,), (0.5,))}),
        },
        {"gold-fish": "only 1 frame with a mask; the first and last do not count"},
        {},
    )


@pytest.fixture
def nothing():
    return JAndFResult("davis16", Score.mean([]), {}, {}, {})


def test_text_is_aligned(result):
    lines = to_text(result).splitlines()
    assert len({len(line) for line in lines[:-1]}) == 1
    assert [line.split()[0] for line in lines] == [
        "sequence",
        "-" * len(lines[0]),
        "all",
        "bike-packing",
        "1",
        "7",
        "judo",
        "gold-fish:",
    ]
    assert lines[2].split() == ["all", "0.4000", "0.4625", "1.0000", "-0.2500", "0.3375", "0.5000", "0.1250"]
    assert lines[5].split()[:3] == ["7", "2", "0.7000"]
    assert lines[-1] == "gold-fish: not scored, only 1 frame with a mask; the first and last do not count"


def test_text_without_objects(result):
    assert len(to_text(result, objects=False).splitlines()) == len(to_text(result).splitlines()) - 2


def test_csv_keeps_every_digit(result):
    rows = list(csv.DictReader(io.StringIO(to_csv(result))))
    assert [(row["level"], row["sequence"], row["object"]) for row in rows] == [
        ("overall", "", ""),
        ("sequence", "bike-packing", ""),
        ("object", "bike-packing", "1"),
        ("object", "bike-packing", "7"),
        ("sequence", "judo", ""),
        ("object", "judo", "3"),
    ]
    assert [float(rows[3][name]) for name in Score._fields] == list(score(0.1 * 7))
    assert rows[3]["frames"] == "2"


def test_json_has_the_layout_of_the_results_file(result):
    found = json.loads(to_json(result))
    assert (found["j_and_f"], found["j"], found["f"]) == (0.4, 0.4625, 0.3375)
    bikes = found["sequences"]["bike-packing"]
    assert (bikes["j_and_f"], bikes["frames"]) == (0.3, ["00001", "00002"])
    assert bikes["objects"]["7"]["j"] == score(0.1 * 7).j
    assert bikes["objects"]["7"]["j_per_frame"] == [0.25, 0.75]
    assert bikes["objects"]["7"]["f_per_frame"] == [0.5, 1.0]
    assert list(found["unscored"]) == ["gold-fish"]


def test_json_without_frames(result):
    bikes = json.loads(to_json(result, per_frame=False))["sequences"]["bike-packing"]
    assert "frames" not in bikes
    assert set(bikes["objects"]["1"]) == set(Score._fields)


def test_no_number_is_no_nan(nothing):
    assert math.isnan(nothing.j_and_f)
    assert json.loads(to_json(nothing))["j_and_f"] is None
    assert to_csv(nothing).splitlines()[1] == "overall,,,,,,,,,,"
    assert to_text(nothing).splitlines()[2].split() == ["all", *["-"] * 7]


def test_properties_and_scalars(result):
    assert (result.j_and_f, result.j, result.f) == (0.4, 0.4625, 0.3375)
    assert result.scalars("val/") == {f"val/{name}": value for name, value in score(0.4)._asdict().items()}
