"""Rows read to the end, rows written back, and the short examination before training."""

import json
from pathlib import Path

import pytest
from broken_data import PROBLEM, break_file, conversation, sound_rows

from strop.chat import ChatEncoder, ChatSettings, parse_conversation
from strop.doctor import EvalItem, check_examples, read_set
from strop.doctor.before_training import lines
from strop.doctor.findings import shorten
from strop.doctor.fix import to_row, without_empty
from strop.doctor.rows import rejections
from strop.train.settings import TrainSettings

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    "raw",
    [
        {"prompt": "q", "completion": "a", "source": "here", "id": 7},
        {"instruction": "do", "input": "this", "output": "done"},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"text": "### Prompt\n\nq\n\n### Response\n\na"},
        {
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "q", "name": "ann"},
                {
                    "role": "assistant",
                    "content": "a",
                    "reasoning_content": "hm",
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": {}}}],
                },
                {"role": "tool", "content": "seen", "tool_call_id": "c1"},
                {"role": "assistant", "content": "b", "train": False},
                {"role": "assistant", "content": [{"type": "text", "text": "c"}, {"type": "python", "text": "1"}]},
                {"role": "assistant", "content": "d", "weight": 0.5},
            ],
            "tools": [TOOL],
        },
    ],
)
def test_a_row_that_is_written_reads_back_the_same(raw):
    [row] = read_set("d", lambda on_bad: [("d:1", raw)]).rows
    written = json.loads(json.dumps(to_row(row, row.conversation)))
    assert parse_conversation(written, "d:1") == row.conversation
    assert {key: written[key] for key in ("source", "id") if key in raw} == {
        k: raw[k] for k in ("source", "id") if k in raw
    }


def test_only_the_exchange_of_an_empty_turn_goes():
    turns = [("system", " "), ("user", "a"), ("assistant", "b"), ("user", ""), ("assistant", "c"), ("user", "d")]
    made = parse_conversation(conversation(*turns, ("assistant", "e")), "d:1")
    assert [m.content for m in without_empty(made).messages] == ["a", "b", "d", "e"]
    assert without_empty(parse_conversation(conversation(("user", " "), ("assistant", "b")), "d:1")) is None
    whole = parse_conversation(conversation(("user", "a"), ("assistant", "b")), "d:1")
    assert without_empty(whole) is whole


def test_rejections_are_grouped_by_reason():
    bad = [{"messages": [{"role": "user", "content": "x"}] * n + [{"role": "wizard"}]} for n in (1, 2, 3)]
    data = read_set("d", lambda on_bad: [(f"d:{i}", row) for i, row in enumerate([*bad, {"colour": "red"}], 1)])
    first, second = rejections([data])
    assert (first.count, first.places) == (3, ("d:1", "d:2", "d:3"))
    assert "wizard" in first.message
    assert (second.count, second.place) == (1, "d:4")


def test_braces_in_names_stay_what_they_are():
    data = read_set("d", lambda on_bad: [("{n} {x}:1", {"{x}": 1}), ("{n} {x}:2", {"{x}": 1})])
    [finding] = rejections([data])
    assert finding.message.startswith("2 rows cannot be read")
    assert "{x}" in finding.message


def test_what_is_shown_of_a_row_cannot_steer_the_terminal():
    shown = shorten("\x1b[31mred\nnext\u202e" + "x" * 500)
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert "\u202e" not in shown
    assert len(shown) <= 120


def test_before_training_errors_and_warnings_come_in_a_few_lines(tokenizer, tmp_path):
    break_file(tmp_path / "data.jsonl")
    encoder = ChatEncoder(tokenizer, ChatSettings())
    rows = read_set("d", lambda on_bad: [("d:1", row) for row in [*sound_rows(), *sound_rows()[:3]]]).rows
    rows += read_set("d", lambda on_bad: [("d:24", conversation(("user", PROBLEM), ("assistant", "84")))]).rows
    examples = [example for row in rows for example in encoder.encode(row.conversation)]
    train = TrainSettings(learning_rate=1.0, epochs=9, global_batch_size=1)
    items = [EvalItem("quiz", "keeper", (PROBLEM,))]
    found = check_examples(examples, encoder.report, train, tokenizer, encoder.stop_ids, items, 135_000_000)
    assert [f.kind for f in found] == ["contamination", "learning_rate", "epochs", "duplicate"]
    assert found[0].place == "d:24"
    assert found[-1].count == 3
    said = lines(found, most=2)
    assert len(said) == 3
    assert said[0].startswith("error: 1 of 1 items of quiz")
    assert said[2].startswith("and 2 more")


def test_before_training_a_sound_set_is_passed_in_silence(tokenizer):
    encoder = ChatEncoder(tokenizer, ChatSettings())
    examples = [e for i, row in enumerate(sound_rows()) for e in encoder.encode(parse_conversation(row, f"d:{i}"))]
    train = TrainSettings(global_batch_size=1)
    found = check_examples(examples, encoder.report, train, tokenizer, encoder.stop_ids, (), 135_000_000)
    assert found == []
    assert lines(found) == []


@pytest.mark.parametrize(("same", "said"), [(20, "all examples"), (15, "75% of the examples"), (9, None)])
def test_before_training_one_answer_to_everything_is_named(tokenizer, same, said):
    encoder = ChatEncoder(tokenizer, ChatSettings())
    answers = ["to be written"] * same + [f"answer {i}" for i in range(20 - same)]
    rows = [conversation(("user", f"question {i}"), ("assistant", answer)) for i, answer in enumerate(answers)]
    examples = [e for i, row in enumerate(rows) for e in encoder.encode(parse_conversation(row, f"d:{i}"))]
    train = TrainSettings(global_batch_size=1)
    found = check_examples(examples, encoder.report, train, tokenizer, encoder.stop_ids)
    assert [f.message.partition(" teach")[0] for f in found if f.kind == "same_answer"] == ([said] if said else [])


def test_a_file_without_one_good_row(recipe, examined):
    Path("data.jsonl").write_text('junk\n{"a": 1}\n')
    found = examined(recipe)
    assert found.code == 3
    assert [f["place"] for f in found.kinds["rejected"]] == ["data.jsonl:1", "data.jsonl:2"]
    assert "no_examples" in found.kinds


def test_plain_text_is_examined_as_text(recipe, examined):
    Path("data.jsonl").write_text(json.dumps({"text": "to have and to hold " * 400}) + "\n" + '{"text": " "}\n')
    found = examined(recipe, "stages.sft.data.0.format=text")
    assert found.kinds.keys() == {"rejected", "few_steps"}


def test_bad_rows_that_are_skipped_are_a_warning(recipe, examined):
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sound_rows()) + "junk\n")
    found = examined(recipe, "stages.sft.data={parts: [{path: data.jsonl, epochs: 2}], on_bad_row: skip}")
    assert found.code == 0
    assert found.kinds["rejected"][0]["level"] == "warning"
    tokens = json.loads(found.out)["stages"]["sft"]["sets"][0]["tokens"]
    assert json.loads(found.out)["stages"]["sft"]["estimate"]["tokens"] == 2 * tokens


def test_rows_of_other_files_are_examined_too(recipe, examined):
    Path("data.json").write_text(json.dumps([*sound_rows(), {"messages": []}]))
    found = examined(recipe, "stages.sft.data.0.path=data.json")
    [finding] = found.kinds["rejected"]
    assert finding["place"] == "data.json, row 21"
