"""What inspect says of rows that are not, or not wholly, used."""

import pytest


def pair(**more):
    return {"prompt": "q", "completion": "a", **more}


def test_kinds_and_what_was_left_out_are_told(inspect, data):
    file = data(pair(label=1, id=1), pair(label=0), {"question": "q", "answer": "a", "context": "c"})
    code, out, _ = inspect(file)
    assert code == 0
    lines = out.splitlines()
    assert f"{file}: prompt_completion (3)" in lines
    assert lines[-3:] == [
        "rows left out, because they say that their answer is not wanted: label (1 row)",
        "columns not read: id (1 row)",
        "rows whose context stands before the question, with a blank line between them: 1",
    ]
    assert "2 conversations" in out
    assert "nothing unusual" not in out


def test_a_file_of_bad_rows_alone_says_why_nothing_is_left(inspect, data):
    file = data(pair(kto_tag=False), {"prompt": "q", "rejected": "b"})
    code, _, err = inspect(file)
    assert code == 2
    assert err == (
        f"strop: {file}: nothing is left to train on; rows left out, because they say that their answer is not wanted: "
        "kto_tag (1 row); rows left out, because they hold a rejected answer alone: 1\n"
    )


def test_columns_are_mapped_by_an_override(inspect, data):
    file = data({"text": "q", "code": "c", "test_list": ["t"]})
    code, _, err = inspect(file)
    assert (code, "set columns: {prompt: text, completion: code}" in err) == (2, True)
    code, out, _ = inspect(file, "data.columns={prompt: text, completion: code}")
    assert code == 0
    assert f"{file}: prompt_completion (1)\n" in out
    assert out.endswith("columns not read: test_list (1 row)\n")


@pytest.mark.parametrize("value", ["{prompt: tests, completion: code}", "{prompt: text, completion: 'tests[3]'}"])
def test_a_column_that_is_not_there_is_named(inspect, data, value):
    code, _, err = inspect(data({"text": "q", "code": "c", "test": [1]}), f"data.columns={value}")
    assert code == 2
    assert "data.jsonl:1: columns: the row has no tests" in err
    assert err.endswith(", but text, code, test.\n")
