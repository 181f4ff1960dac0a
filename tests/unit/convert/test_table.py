import pickle

import pytest
import torch

from vosfw.convert.table import Rule, convert, read_official
from vosfw.errors import CheckpointError

RULES = (
    Rule(r"net\.(\w+)\.weight", r"body.\1.weight"),
    Rule(r"twice", "double", transform=lambda tensor, shape: 2 * tensor.reshape(shape)),
    Rule(r".*\.unused", None, "a buffer that nothing reads"),
)
TARGET = {"body.a.weight": torch.zeros(2, 3), "double": torch.zeros(4)}


def source():
    return {"net.a.weight": torch.ones(2, 3, dtype=torch.float16), "twice": torch.ones(2, 2), "x.unused": torch.ones(1)}


def test_every_key_is_used_or_dropped_with_a_reason():
    result = convert(source(), RULES, TARGET)
    assert result.used == {"net.a.weight": "body.a.weight", "twice": "double"}
    assert result.dropped == {"x.unused": "a buffer that nothing reads"}
    assert result.weights["double"].tolist() == [2, 2, 2, 2]
    assert result.weights["body.a.weight"].dtype == torch.float32


def test_one_tensor_for_several_places():
    rules = (Rule(r"(\w+)\.both", (r"one.\1", r"two.\1"), transform=lambda tensor, shape: tensor.reshape(shape)),)
    target = {"one.a": torch.zeros(2), "two.a": torch.zeros(2, 1)}
    result = convert({"a.both": torch.tensor([3.0, 4.0])}, rules, target)
    assert result.used == {"a.both": "one.a, two.a"}
    assert result.weights["one.a"].tolist() == [3, 4] and result.weights["two.a"].tolist() == [[3], [4]]
    # A file holds no tensor twice.
    assert result.weights["one.a"].data_ptr() != result.weights["two.a"].data_ptr()
    with pytest.raises(CheckpointError, match=r"a\.both \(as two\.a\)"):
        convert({"a.both": torch.ones(2)}, rules, {"one.a": torch.zeros(2)})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"net.b.weight": torch.ones(1)}, r"1 keys that belong to nothing.*\n.*net\.b\.weight \(as body\.b\.weight\)"),
        ({"other": torch.ones(1)}, r"1 keys that belong to nothing.*\n.*other"),
        ({"net.a.weight": torch.ones(3, 2)}, r"net\.a\.weight: \[3, 2\], wanted \[2, 3\]"),
        ({"twice": None}, r"1 weights of the composition that nothing fills.*\n.*double"),
    ],
)
def test_errors_list_the_rest(change, match):
    changed = {key: value for key, value in {**source(), **change}.items() if value is not None}
    with pytest.raises(CheckpointError, match=match):
        convert(changed, RULES, TARGET)


def test_two_keys_for_one_place():
    rules = (Rule(r"a|b", "double"), *RULES)
    with pytest.raises(CheckpointError, match=r"b \(as double\)"):
        convert({"a": torch.ones(4), "b": torch.ones(4), **source()}, rules, TARGET)


def test_long_lists_are_cut():
    with pytest.raises(CheckpointError, match="and 8 more"):
        convert({f"k{i}": torch.ones(1) for i in range(20)} | source(), RULES, TARGET)


def test_wrappers_are_taken_off(tmp_path):
    state = {"module.a": torch.ones(2), "b": torch.zeros(1)}
    for name, content in (("bare", state), ("wrapped", {"epoch": 3, "state_dict": state})):
        torch.save(content, tmp_path / name)
        assert sorted(read_official(tmp_path / name)) == ["a", "b"]


class Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_files_that_cannot_be_read(tmp_path, capsys):
    (tmp_path / "text").write_text("no checkpoint")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "pickle").write_bytes(pickle.dumps(Evil()))
    torch.save({"a": 1}, tmp_path / "numbers")
    torch.save([torch.ones(1)], tmp_path / "list")
    torch.save({}, tmp_path / "nothing")
    torch.save({"a": torch.ones(100)}, tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-200])
    for name in ("text", "empty", "pickle", "numbers", "list", "nothing", "cut", "absent", "."):
        with pytest.raises(CheckpointError, match=r"[wW]anted|give the path"):
            read_official(tmp_path / name)
    assert "must not run" not in capsys.readouterr().out


def test_several_tensors_become_one():
    rules = (Rule("rgb", "stem", channel=0), Rule("mask", "stem", channel=3), Rule("other", "stem", channel=4))
    parts = {
        "other": torch.full((2, 1, 1, 1), 5.0),
        "rgb": torch.ones(2, 3, 1, 1),
        "mask": torch.full((2, 1, 1, 1), 4.0),
    }
    result = convert(parts, rules, {"stem": torch.zeros(2, 5, 1, 1)})
    assert result.weights["stem"][0].flatten().tolist() == [1, 1, 1, 4, 5]
    assert result.used == dict.fromkeys(parts, "stem")
    del parts["mask"]
    with pytest.raises(CheckpointError, match=r"rgb \[2, 3, 1, 1\], other \[2, 1, 1, 1\] together, wanted"):
        convert(parts, rules, {"stem": torch.zeros(2, 5, 1, 1)})
    for shape in ((3, 1, 1, 1), (2, 1, 3, 3), (2,)):
        with pytest.raises(CheckpointError, match=r"together, wanted \[2, 5, 1, 1\]"):
            convert(parts | {"mask": torch.ones(shape)}, rules, {"stem": torch.zeros(2, 5, 1, 1)})
