import copy
import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import jaxtyping
import plain_metrics
import pytest
import torch
from score_in_process import VIDEOS, feed, video

from vosfw.errors import ConfigError, DatasetError
from vosfw.metrics import JAndF, boundary_f, j_and_f, jaccard


def scored(frames=9, objects=3, spans=(9,), protocol="davis17"):
    """The result of one video, and its plain J and F."""
    pred, truth = plain_metrics.blobs(frames, objects, (40, 60))
    metric = JAndF(protocol)
    at = 0
    for span in spans:
        part = slice(at, at + span)
        metric.update(*(torch.from_numpy(each[part]) for each in (pred, truth)), video="a", ids=range(1, 1 + objects))
        at += span
    assert at == frames
    return metric.compute(), plain_metrics.j_and_f(pred, truth, objects)


def test_both_in_one_go():
    pred, truth = (torch.from_numpy(each) for each in plain_metrics.blobs(2, 3, (40, 60)))
    j, f = j_and_f(pred, truth, 3, bound_th=2.0)
    assert torch.equal(j, jaccard(pred, truth, 3))
    assert torch.equal(f, boundary_f(pred, truth, 3, bound_th=2.0))
    assert j.dtype == f.dtype == torch.float64


@pytest.mark.parametrize("spans", [(9,), (1, 8), (1, 3, 3, 2), (1,) * 9])
def test_davis17_leaves_out_the_first_and_last_frame(spans):
    result, (j, f) = scored(spans=spans)
    sequence = result.sequences["a"]
    assert sequence.frames == tuple("1234567")
    for slot in range(3):
        found = sequence.objects[slot + 1]
        for ours, plain, first in ((found.j, j, 1), (found.f, f, 4)):
            inner = plain[1:-1, slot]
            assert ours == pytest.approx(inner.tolist(), abs=1e-12)
            assert found.score[first : first + 3] == pytest.approx(plain_metrics.statistics(inner), abs=1e-12)
        assert found.score.j_and_f == pytest.approx((found.score.j + found.score.f) / 2, abs=1e-15)


def test_overall_is_the_plain_mean_over_objects_of_all_videos():
    metric = JAndF()
    feed(metric, ["two", "one"])
    result = metric.compute()
    objects = [found.score for each in result.sequences.values() for found in each.objects.values()]
    assert {name: len(each.objects) for name, each in result.sequences.items()} == {"one": 1, "two": 2}
    assert result.score == pytest.approx([sum(column) / 3 for column in zip(*objects, strict=True)], abs=1e-12)
    two = [found.score for found in result.sequences["two"].objects.values()]
    assert result.sequences["two"].score == pytest.approx([(a + b) / 2 for a, b in zip(*two, strict=True)], abs=1e-12)
    assert result.scalars("val/")["val/j_and_f"] == result.j_and_f == result.score.j_and_f


def test_davis16_joins_the_objects():
    pred, truth = plain_metrics.blobs(6, 3, (40, 60))
    result, _ = scored(6, 3, (6,), "davis16")
    j, f = plain_metrics.j_and_f((pred > 0).astype("uint8"), (truth > 0).astype("uint8"), 1)
    assert list(result.sequences["a"].objects) == [1]
    assert result.j == pytest.approx(j[1:-1].mean(), abs=1e-12)
    assert result.f == pytest.approx(f[1:-1].mean(), abs=1e-12)
    assert result.protocol == "davis16"


@pytest.mark.parametrize("protocol", ["davis17", "davis16"])
def test_void_in_the_truth_is_left_out(protocol):
    pred, truth = (torch.from_numpy(each) for each in plain_metrics.blobs(4, 2, (40, 60)))
    void = torch.zeros_like(truth, dtype=torch.bool)
    void[:, 10:30] = True
    results = []
    for labels, extra in ((truth.masked_fill(void, 255), None), (truth, void)):
        metric = JAndF(protocol)
        metric.update(pred, labels, video="a", ids=(1, 2), void=extra)
        results.append(metric.compute())
    blank = JAndF(protocol)
    blank.update(pred.masked_fill(void, 0), truth.masked_fill(void, 0), video="a", ids=(1, 2))
    assert results[0] == results[1] == blank.compute()


@pytest.mark.parametrize(
    ("frames", "objects", "reason"), [(1, 2, "only 1 frame "), (2, 2, "only 2 frames"), (5, 0, "no obj")]
)
def test_videos_with_nothing_to_score_are_listed(frames, objects, reason):
    metric = JAndF()
    feed(metric, ["two"])
    alone = metric.compute().score
    labels = torch.zeros(frames, 8, 8, dtype=torch.uint8)
    metric.update(labels, labels, video="empty", ids=range(1, 1 + objects))
    result = metric.compute()
    assert list(result.unscored) == ["empty"]
    assert result.unscored["empty"].startswith(reason)
    assert list(result.sequences) == ["two"]
    assert result.score == alone


def test_without_a_scored_video_the_figures_are_nan():
    metric = JAndF()
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    metric.update(labels, labels, video="a", ids=(1,))
    assert all(math.isnan(value) for value in metric.compute().score)


@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_before_any_update():
    result = JAndF().compute()
    assert math.isnan(result.j_and_f)
    assert result.sequences == result.unscored == {}


def test_ids_and_frame_names_come_back():
    metric = JAndF()
    pred, truth = (torch.from_numpy(each) for each in plain_metrics.blobs(4, 2, (40, 60)))
    name = 'odd "name"\n\u00e9\u4e16'
    metric.update(pred[:2], truth[:2], video=name, ids=(7, 250), frames=("00000", "00005"))
    metric.update(pred[2:], truth[2:], video=name, ids=(7, 250), frames=("00010", "00015"))
    sequence = metric.compute().sequences[name]
    assert sequence.frames == ("00005", "00010")
    assert list(sequence.objects) == [7, 250]


def test_reset_forward_clone_and_pickle():
    metric = JAndF()
    feed(metric, ["two"])
    wanted = metric.compute()
    assert pickle.loads(pickle.dumps(metric)).compute() == wanted
    assert copy.deepcopy(metric).compute() == metric.clone().compute() == wanted
    metric.reset()
    pred, truth, ids = video("two")
    assert metric(pred, truth, video="two", ids=ids) == wanted
    metric(*video("one")[:2], video="one", ids=(1,))
    assert metric.compute().sequences["two"] == wanted.sequences["two"]
    metric.reset()
    feed(metric, ["one"])
    assert list(metric.compute().sequences) == ["one"]


def test_half_precision_models_leave_the_figures_alone():
    metric = JAndF()
    feed(metric, ["two"])
    wanted = metric.compute()
    module = torch.nn.ModuleDict({"score": metric}).bfloat16().half()
    module["score"]._computed = None
    assert module["score"].compute() == wanted


def test_bad_options(unchecked):
    with pytest.raises(ConfigError, match=r"davis18.*davis17, davis16"):
        JAndF("davis18")
    with pytest.raises(ConfigError, match="bound_th"):
        JAndF(bound_th=0.0)


@pytest.fixture
def unchecked():
    """Run as in production, where no hook checks types."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_updates_that_do_not_fit():
    pred, truth, _ = video("two")
    with pytest.raises(DatasetError, match="1 frame names for 6 frames"):
        JAndF().update(pred, truth, video="a", ids=(1, 2), frames=("00000",))
    with pytest.raises(DatasetError, match=r"object ids \[3, 3\]"):
        JAndF().update(pred, truth, video="a", ids=(3, 3))
    changed = JAndF()
    changed.update(pred, truth, video="a", ids=(1, 2))
    changed.update(pred, truth, video="a", ids=(1, 3))
    with pytest.raises(DatasetError, match=r"\[1, 2\], then with \[1, 3\]"):
        changed.compute()
    twice = JAndF()
    for _ in range(2):
        twice.update(pred, truth, video="a", ids=(1, 2), frames=[f"{t:05d}" for t in range(6)])
    with pytest.raises(DatasetError, match="twice in frame '00000'"):
        twice.compute()


@pytest.fixture(scope="module")
def from_two_processes(tmp_path_factory):
    """What two processes say of the same videos, shared out in several ways."""
    folder = tmp_path_factory.mktemp("processes")
    script = Path(__file__).parents[2] / "score_in_process.py"
    places = os.pathsep.join(sys.path)
    workers = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(folder)],
            env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=240)
        assert worker.returncode == 0, errors
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("split", ["uneven", "none_on_1", "none_on_0", "again"])
def test_two_processes_give_what_one_gives(from_two_processes, split):
    metric = JAndF()
    feed(metric, VIDEOS)
    wanted = metric.compute().to_json()
    assert set(wanted["sequences"]) == {"two", "one", "many"}
    assert [found[split] for found in from_two_processes] == [wanted, wanted]


def test_a_video_in_two_processes_is_refused(from_two_processes):
    assert all("'two' was scored by two processes" in found["shared"] for found in from_two_processes)


def test_states_are_the_own_ones_again_after_gathering(from_two_processes):
    assert [found["own"] for found in from_two_processes] == [["two", "many", "first_mask_only"], ["one"]]
