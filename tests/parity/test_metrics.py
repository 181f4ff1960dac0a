"""J and F against values of the official DAVIS 2017 toolkit. Cases, names and sizes are read from the fixture files."""

import json

import numpy as np
import plain_metrics
import pytest
import torch

from vosfw.metrics import JAndF, boundary_f, counts, j_and_f, jaccard, statistics

ATOL = 1e-9
"""All is counted in integers and divided in float64."""
FIGURES = {
    "J-Mean": "j",
    "J-Recall": "j_recall",
    "J-Decay": "j_decay",
    "F-Mean": "f",
    "F-Recall": "f_recall",
    "F-Decay": "f_decay",
    "J&F-Mean": "j_and_f",
}


def pytest_generate_tests(metafunc):
    if "case_name" in metafunc.fixturenames:
        path = metafunc.config.getoption("golden") / "metrics" / "expected.json"
        names = [case["name"] for case in json.loads(path.read_text())["cases"]] if path.is_file() else ["no fixture"]
        metafunc.parametrize("case_name", names)


class Fixtures:
    """The folder of masks and values."""

    def __init__(self, folder):
        self.expected = json.loads((folder / "expected.json").read_text())
        self.masks = np.load(folder / "masks.npz")
        self.cases = {case["name"]: case for case in self.expected["cases"]}

    def labels(self, name):
        """Prediction, truth and void [F, Y, X] of a case; void may be None."""
        names = ["pred", "gt", "void"] if self.cases[name]["void"] else ["pred", "gt"]
        height, width = self.cases[name]["size_hw"]
        maps = [torch.from_numpy(self.masks[f"{name}/{key}"].reshape(-1, height, width)) for key in names]
        return maps[0], maps[1], maps[2] > 0 if len(maps) > 2 else None


@pytest.fixture(scope="module")
def fixtures(golden):
    return Fixtures(golden / "metrics")


@pytest.fixture
def case(fixtures, case_name):
    """Expected values of a case, its arguments, and its objects' slots."""
    case = fixtures.cases[case_name]
    slots = [found["id"] - 1 for found in case["objects"]]
    pred, truth, void = fixtures.labels(case_name)
    assert len(pred) == case["frames"]
    return case, (pred, truth, max(slots, default=-1) + 1, void), slots


def wanted(case, key):
    """Values [F, K] of a case."""
    return torch.tensor([found[key] for found in case["objects"]], dtype=torch.float64).reshape(-1, case["frames"]).T


@pytest.mark.parametrize("path", ["cropped", "whole"])
def test_j_and_f_per_frame(case, path, monkeypatch):
    case, arguments, slots = case
    if path == "whole":  # how a device counts
        monkeypatch.setattr(counts, "_count_cropped", counts._count_whole)
    j, f = j_and_f(*arguments, bound_th=float(case["bound_th"]))
    assert j.shape == f.shape == (case["frames"], arguments[2])
    torch.testing.assert_close(j[:, slots], wanted(case, "J"), rtol=0, atol=ATOL)
    torch.testing.assert_close(f[:, slots], wanted(case, "F"), rtol=0, atol=ATOL)


def test_each_measure_alone(case):
    case, arguments, slots = case
    torch.testing.assert_close(jaccard(*arguments)[:, slots], wanted(case, "J"), rtol=0, atol=ATOL)
    f = boundary_f(*arguments, bound_th=float(case["bound_th"]))
    torch.testing.assert_close(f[:, slots], wanted(case, "F"), rtol=0, atol=ATOL)


def test_statistics(case):
    case = case[0]
    for key in "JF":
        values = wanted(case, key)
        for frames, chosen in (("all", values), ("inner", values[1:-1])):
            found = [each.get(f"{key}_{frames}") for each in case["objects"]]
            if not all(found):
                continue
            expected = [[each["mean"], each["recall"], each["decay"]] for each in found]
            figures = torch.stack(statistics(chosen)).T
            wanted_figures = torch.tensor(expected, dtype=torch.float64).reshape(-1, 3)
            torch.testing.assert_close(figures, wanted_figures, rtol=0, atol=ATOL)


def test_the_whole_benchmark(fixtures):
    benchmark = fixtures.expected["benchmark_over_sequence_cases"]
    metric = JAndF()
    for name in benchmark["sequences"]:
        pred, truth, void = fixtures.labels(name)
        ids = range(1, 1 + max(found["id"] for found in fixtures.cases[name]["objects"]))
        for at in range(0, len(pred), 5):
            span = slice(at, at + 5)
            metric.update(pred[span], truth[span], video=name, ids=ids, void=None if void is None else void[span])
    result = metric.compute()
    assert list(result.sequences) == sorted(benchmark["sequences"])
    for theirs, ours in FIGURES.items():
        assert getattr(result.score, ours) == pytest.approx(benchmark["result"][theirs], abs=ATOL)
    for name, sequence in result.sequences.items():
        for found in fixtures.cases[name]["objects"]:
            score = sequence.objects[found["id"]].score
            for key, ours in (("J_inner", score[1:4]), ("F_inner", score[4:7])):
                assert ours == pytest.approx([found[key][each] for each in ("mean", "recall", "decay")], abs=ATOL)


def test_the_plain_implementation_is_the_same_definition(case):
    """The oracle of the other tests agrees with the toolkit, too."""
    case, (pred, truth, count, void), slots = case
    frames = slice(0, 3)
    known = None if void is None else void[frames].numpy()
    values = plain_metrics.j_and_f(pred[frames].numpy(), truth[frames].numpy(), count, known, case["bound_th"])
    for found, key in zip(values, "JF", strict=True):
        assert found[:, slots] == pytest.approx(wanted(case, key)[frames].numpy(), abs=ATOL)
