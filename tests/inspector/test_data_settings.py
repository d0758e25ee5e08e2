"""How a data file is read is said by overrides, in both verbs that take one."""

import json

import pytest

from strop.common.errors import InputError
from strop.doctor.command import _recipe
from strop.inspector.subject import subject


def test_the_format_and_the_split_reach_the_reader(tmp_path):
    file = tmp_path / "plain.jsonl"
    file.write_text(json.dumps({"text": "plain words"}) + "\n")
    [part] = subject(str(file), ["data.format=text", "data.split=test"], None, []).parts
    assert part == {"path": file, "format": "text", "split": "test"}
    [examined] = _recipe(file, ["data.format=text"], "a-model").stages["sft"].mixture.parts
    assert (examined.path, examined.format, examined.split) == (file, "text", "train")


def test_a_wrong_name_is_answered_with_the_right_one(tmp_path):
    with pytest.raises(InputError, match=r"data\.fromat.*did you mean 'format'"):
        subject(str(tmp_path), ["data.fromat=text"], None, [])
