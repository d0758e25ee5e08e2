"""What `--fix` keeps: every column, rows as they stand, and values that JSON has no word for."""

import datetime
import decimal
import json
from pathlib import Path

import pytest
from broken_data import conversation, sound_rows

from strop.chat import parse_conversation
from strop.cli import main
from strop.doctor import read_set
from strop.doctor.fix import to_row, without_empty


@pytest.fixture
def fix(tmp_path, model_folder, monkeypatch, capsys):
    """Run ``strop doctor DATA --fix out.jsonl``; gives the rows, the report, and what was printed."""
    monkeypatch.chdir(tmp_path)

    def call(data, *arguments):
        code = main(["doctor", data, "--model", str(model_folder), "--fix", "out.jsonl", *arguments])
        out = capsys.readouterr()
        assert code in (0, 3), out.err
        rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
        return rows, json.loads(Path("out.jsonl.report.json").read_text()), out.out

    return call


def test_preference_rows_keep_both_answers_and_the_input_is_listed_once(fix):
    rows = [{"prompt": f"p{n}", "chosen": f"good {n}", "rejected": f"bad {n}", "id": n} for n in range(3)]
    Path("pref.json").write_text(json.dumps(rows))
    kept, report, _ = fix("pref.json")
    assert kept == rows
    assert report["inputs"] == ["pref.json"]


def test_rows_stay_as_they_stand_and_changed_ones_keep_their_other_columns():
    def fixed(raw, format="auto"):
        [row] = read_set("d", lambda on_bad: [("d:1", raw)], format).rows
        return to_row(row, without_empty(row.conversation))

    alpaca = {"instruction": "do", "input": "", "output": "done", "source": "x", "text": "the same again"}
    assert fixed(alpaca) == alpaca
    turns = [("user", "a"), ("assistant", "b"), ("user", " "), ("assistant", "c")]
    changed = fixed(conversation(*turns, source="x", difficulty=3))
    assert changed == conversation(*turns[:2], source="x", difficulty=3)
    odd = {"q": "a", "question": "b", "answer": "c", "prompt": "d", "completion": "e"}
    made = fixed(odd, "prompt_completion")
    assert parse_conversation(made, "d:1").messages == parse_conversation(odd, "d:1", "prompt_completion").messages


def test_what_json_has_no_word_for_is_written_as_text(fix):
    import pyarrow
    import pyarrow.parquet

    more = {
        "at": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        "day": datetime.date(2026, 1, 2),
        "price": decimal.Decimal("1.10"),
        "raw": b"\xff\x00",
        "score": float("nan"),
        "nested": {"when": [datetime.datetime(2026, 1, 2)]},
        "took": datetime.timedelta(seconds=90),
    }
    table = pyarrow.Table.from_pylist([{**sound_rows()[0], **more}, {**sound_rows()[1], **more}])
    pyarrow.parquet.write_table(table, "d.parquet")
    kept, report, out = fix("d.parquet")
    assert kept[0] == {
        **sound_rows()[0],
        "at": "2026-01-02T03:04:05+00:00",
        "day": "2026-01-02",
        "price": "1.10",
        "raw": "/wA=",
        "score": None,
        "nested": {"when": ["2026-01-02T00:00:00"]},
        "took": 90.0,
    }
    assert report["written_otherwise"]["dates and times, as text (ISO 8601)"] == 6
    assert "written otherwise: 2 binary values, as base64 text" in out


def test_halves_of_surrogate_pairs(fix):
    bad = conversation(("user", "half \ud83d of it"), ("assistant", "yes"))
    rows = [{**sound_rows()[0], "note": "half \ud83d"}, sound_rows()[1], bad]
    Path("d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept, report, _ = fix("d.jsonl")
    assert kept == rows[:2]
    assert report["rows"][0]["place"] == "d.jsonl:3"
    assert "half of a surrogate pair" in report["rows"][0]["reason"]


def test_rows_that_are_not_to_be_trained_are_listed(fix):
    rows = [{"prompt": f"p{n}", "completion": f"c{n}", "label": n != 1} for n in range(4)]
    Path("kto.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept, report, _ = fix("kto.jsonl")
    assert [row["prompt"] for row in kept] == ["p0", "p2", "p3"]
    assert report["rows"] == [
        {
            "place": "kto.jsonl:2",
            "reason": "not to be trained: rows left out, because they say that their answer is not wanted",
        }
    ]
