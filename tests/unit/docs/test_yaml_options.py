"""Options and their comments, as the documentation reads them from a configuration file."""

import sys
from pathlib import Path

import pytest

TEXT = """# @package _global_
# A title: python train.py experiment=x
# More of it.
defaults:
  - base
  - /loss@frame_loss: ce
  - override /model: stcn
  - encoder: null
  - callbacks: [one, two]
  - _self_
_target_: vosfw.thing.Thing
# Above, in
# two lines; with … and: a colon.
plain: 1.0e-3
end: "a # in quotes"  # at the end
nothing:
#not of its own column
nested:
    # Of deep.
    deep: [1,
      2]  # a list
    _target_: vosfw.other.Other
table:
  0.0: a
  0.5: b
# Over a group.
group:
  key: {a: 1}
"""


@pytest.fixture
def read(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "docs" / "hooks")
    monkeypatch.delitem(sys.modules, "yaml_options", raising=False)
    import yaml_options

    def from_text(text: str) -> yaml_options.ConfigFile:
        (tmp_path / "group").mkdir(exist_ok=True)
        (tmp_path / "group" / "x.yaml").write_text(text)
        return yaml_options.read(tmp_path / "group" / "x.yaml", tmp_path)

    return from_text


def test_comments_belong_to_the_key_below_or_before_them(read):
    options = {option.key: option for option in read(TEXT).options}
    assert options["plain"].comment == "Above, in two lines; with … and: a colon."
    assert options["end"].comment == "at the end"
    assert options["end"].default == "'a # in quotes'"
    assert options["nothing"].default == "null" and options["nothing"].comment == ""
    assert options["nested.deep"] == ("nested.deep", "[1, 2]", "Of deep.", "vosfw.other.Other")
    assert options["table"].default == "{0.0: a, 0.5: b}"
    assert options["group"] == ("group", "", "Over a group.", "vosfw.thing.Thing")
    assert options["group.key"].default == "{a: 1}" and options["group.key"].target == ""


def test_header_target_and_parts(read):
    file = read(TEXT)
    assert file.header == ["# A title: python train.py experiment=x", "# More of it."]
    assert (file.group, file.name, file.target) == ("group", "x", "vosfw.thing.Thing")
    assert file.inherits == ["base"]
    assert file.parts[1:] == [
        ("loss", "frame_loss", "ce"),
        ("model", "", "stcn"),
        ("group/callbacks", "", "one"),
        ("group/callbacks", "", "two"),
    ]


def test_a_header_right_above_the_first_option_stays_a_header(read):
    file = read("# What it is.\nkey: 1\n")
    assert file.header == ["# What it is."] and file.options[0].comment == ""


@pytest.mark.parametrize("text", ["", "# only a comment\n", "{}\n"])
def test_files_without_options(read, text):
    assert read(text).options == []
