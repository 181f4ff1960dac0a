import pytest

from vosfw.composition import check_composition, differences
from vosfw.errors import CheckpointError

OWN = {"name": "mine", "model": {"_target_": "a.B", "memory": {"_target_": "a.M", "top_k": 20}, "widths": [1, 2]}}


def test_equal_compositions_pass():
    stored = {
        "name": "mine",
        "model": {"widths": (1, 2), "memory": {"top_k": 20, "_target_": "a.M"}, "_target_": "a.B"},
    }
    assert check_composition(OWN, stored, "x.ckpt") == []


def test_differences_name_keys_and_put_parts_first():
    other = {"widths": [1, 3], "memory": {"top_k": 9, "_target_": "a.N"}, "depth": 4, "_target_": "a.C"}
    assert differences(other, OWN["model"]) == [
        "model._target_: a.C, here a.B",
        "model.widths: [1, 3], here [1, 2]",
        "model.memory._target_: a.N, here a.M",
        "model.memory.top_k: 9, here 20",
        "model.depth: 4, here not set",
    ]


def test_options_may_differ_where_only_parts_count():
    stored = {"name": "other", "model": {**OWN["model"], "memory": {"_target_": "a.M", "top_k": 9}}}
    assert check_composition(OWN, stored, "x.ckpt", parts_only=True) == ["model.memory.top_k: 9, here 20"]
    with pytest.raises(CheckpointError, match=r"x\.ckpt belongs to another composition: 'other', .* 'mine'.*top_k"):
        check_composition(OWN, stored, "x.ckpt")


def test_another_part_never_passes():
    stored = {"name": "other", "model": {**OWN["model"], "memory": {"_target_": "a.N", "top_k": 20}}}
    with pytest.raises(CheckpointError, match=r"model\.memory\._target_: a\.N, here a\.M"):
        check_composition(OWN, stored, "x.ckpt", parts_only=True)


def test_a_file_of_nobody_knows_what_is_refused():
    with pytest.raises(CheckpointError, match="not written by vosfw"):
        check_composition(OWN, {}, "x.ckpt")
    assert check_composition({}, {}, "x.ckpt") == []


def test_an_option_younger_than_the_checkpoint_has_its_default():
    kind = f"{Part.__module__}.Part"
    own = {"name": "mine", "model": {"_target_": kind, "width": 3, "soft": False}}
    assert check_composition(own, {"name": "mine", "model": {"_target_": kind, "width": 3}}, "x.ckpt") == []
    own["model"]["soft"] = True
    with pytest.raises(CheckpointError, match=r"model\.soft: False, here True"):
        check_composition(own, {"name": "mine", "model": {"_target_": kind, "width": 3}}, "x.ckpt")
    with pytest.raises(CheckpointError, match=r"model\.width: not set, here 3"):
        check_composition(own, {"name": "mine", "model": {"_target_": kind, "soft": True}}, "x.ckpt")


class Part:
    def __init__(self, width, soft=False):
        """Only its options count."""
