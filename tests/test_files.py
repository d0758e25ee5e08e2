"""What is written of texts that nobody checked: it is UTF-8, on a line of its own, and reads back as it was."""

import json

import pytest

from strop.common.files import to_json, write_json, write_jsonl

HALF = "half \ud83d of a pair, \udc00 too"


@pytest.mark.parametrize("text", [HALF, "\\\ud800", "\ud800" * 3, "\0 \x85 \u2028 \u2029", "\u202eabc", "é 😀"])
def test_any_text_is_written_and_read_back(tmp_path, text):
    rows = [{"answer": text, text: [text]}, {"answer": "the next"}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    lines = (tmp_path / "rows.jsonl").read_bytes().rstrip(b"\n").split(b"\n")
    assert [json.loads(line.decode("utf-8")) for line in lines] == rows
    write_json(tmp_path / "value.json", rows)
    assert json.loads((tmp_path / "value.json").read_text(encoding="utf-8")) == rows


def test_only_halves_are_escaped():
    assert to_json("é 😀 \ud83d \\ud83d") == r'"é 😀 \ud83d \\ud83d"'
