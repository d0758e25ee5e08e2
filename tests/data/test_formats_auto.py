"""The same conversation in every format and every kind of file; and what the formats are called."""

import csv
import json

import pytest

from strop.chat import Message, parse_conversation
from strop.chat.formats import FORMATS, name_format, parse_row
from strop.chat.text import Text
from strop.common.errors import InputError
from strop.data.files import open_rows

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
SHAREGPT = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
PLAIN = "Once upon a time."
ROWS = {
    "messages": {"messages": TURNS},
    "sharegpt": {"conversations": SHAREGPT},
    "prompt_completion": {"question": "q", "answer": "a"},
    "alpaca": {"instruction": "q", "input": "", "output": "a"},
    "prompt_response": {"text": "### Prompt\nq\n### Response\na"},
    "preference": {"prompt": "q", "chosen": TURNS, "rejected": TURNS},
}
FILES = ["d.jsonl", "d.json", "d.parquet", "d.arrow", "d.csv"]


def write(path, row):
    import pyarrow
    import pyarrow.parquet

    if path.suffix in (".jsonl", ".json"):
        path.write_text(json.dumps(row))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            cells = [value if isinstance(value, str) else json.dumps(value) for value in row.values()]
            csv.writer(file).writerows([row.keys(), cells])
    else:
        table = pyarrow.Table.from_pylist([row])
        if path.suffix == ".parquet":
            pyarrow.parquet.write_table(table, path)
        else:
            with pyarrow.ipc.new_stream(path, table.schema) as writer:
                writer.write_table(table)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", ROWS)
def test_every_format_from_every_kind_of_file(tmp_path, name, file):
    row = ROWS[name]
    if (name, file) == ("preference", "d.csv"):
        row = {"prompt": "q", "chosen": "a", "rejected": "b"}  # a cell of messages could not be told from an answer
    write(tmp_path / file, row)
    [(place, row)] = open_rows(tmp_path / file)
    assert name_format(row) == name
    for format in ("auto", name):
        conversation = parse_conversation(row, place, format)
        assert conversation.messages == (Message("user", "q"), Message("assistant", "a"))
        assert conversation.place == place
        assert parse_row(row, place, format) == conversation


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"conversations": TURNS}, "messages"),
        ({"messages": SHAREGPT}, "sharegpt"),
        ({"messages": {"from": ["human"], "value": ["q"]}}, "sharegpt"),
        ({"messages": TURNS, "chosen": "a", "rejected": "b"}, "preference"),
        ({"messages": TURNS, "prompt": "q", "completion": "a"}, "messages"),
        ({"messages": None, "prompt": "q", "completion": "a"}, "prompt_completion"),
        ({"messages": TURNS, "chosen": None, "rejected": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"prompt": None, "completion": None}, "prompt_completion"),
        ({"prompt": "q", "completion": "a", "instruction": "q", "output": "a"}, "prompt_completion"),
        ({"instruction": "q", "input": "i", "output": "a", "prompt": "all", "text": "all"}, "alpaca"),
        ({"text": PLAIN}, "text"),
        ({"text": 3}, "text"),
        ({"prompt": "q"}, "prompts"),
        ({"chosen": "a"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_what_auto_takes_a_row_for(row, name):
    assert name_format(row) == name
    assert name in (*FORMATS, "prompts", "unknown")


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("messages", "messages"),
        ("sharegpt", "conversations"),
        ("prompt_completion", "prompt (or question, query, input) and completion (or response, answer, output)"),
        ("alpaca", "instruction and output"),
        ("prompt_response", "text"),
        ("preference", "chosen and rejected"),
        ("text", "text"),
    ],
)
def test_a_row_that_is_not_of_the_named_format_names_the_field_expected(format, expected):
    row = {"story": "x"}
    with pytest.raises(InputError) as caught:
        parse_row(row, "f:3", format)
    assert str(caught.value).startswith(
        f"f:3: expected {expected} for the format {format}, but the row has story (a string);"
    )


@pytest.mark.parametrize(
    ("row", "format", "message"),
    [
        ({"messages": SHAREGPT}, "messages", "field messages[0].role: the role is missing"),
        ({"conversations": TURNS}, "sharegpt", "field conversations[0].from: expected one of system, human,"),
        ({"text": PLAIN}, "prompt_response", "field text: expected a line '### Prompt'"),
        (
            {"text": PLAIN},
            "auto",
            "field text: plain text without '### Prompt' and '### Response' has no turns; set format",
        ),
        ({"text": " \n"}, "text", "field text: the text is empty"),
        ({"text": 3}, "text", "field text: expected a string, found a number"),
        ({"text": "\ud800"}, "text", "field text: the text holds half of a surrogate pair"),
        ([1], "text", "expected an object, found a list"),
        ({"messages": TURNS}, "shargpt", None),
    ],
)
def test_what_a_named_format_refuses(row, format, message):
    with pytest.raises(InputError) as caught:
        parse_row(row, "f:3", format)
    expected = f"f:3: {message}" if message else "there is no format 'shargpt'; known: auto, auto_text, messages,"
    assert str(caught.value).startswith(expected)


def test_a_named_format_chooses_among_the_columns():
    row = {"messages": TURNS, "prompt": "p", "completion": "c", "text": PLAIN}
    assert [m.content for m in parse_conversation(row, "f:1", "prompt_completion").messages] == ["p", "c"]
    assert [m.content for m in parse_conversation(row, "f:1").messages] == ["q", "a"]
    assert parse_row(row, "f:1", "text") == Text(PLAIN, "f:1")


def test_plain_text_is_no_conversation():
    with pytest.raises(InputError, match=r"f:1: field text: plain text .* has no turns; so it is no conversation"):
        parse_conversation({"text": PLAIN}, "f:1", "text")


def test_tool_calls_of_several_tools_survive_parquet(tmp_path):
    """Arrow gives every call the arguments of all tools; they must not be there when a template prints them."""
    calls = [{"name": "weather", "arguments": {"city": "Bern"}}, {"name": "add", "arguments": {"a": 1, "b": [1, 2]}}]
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [{"type": "function", "function": call} for call in calls]},
        {"role": "tool", "content": "3", "tool_call_id": "1"},
        {"role": "assistant", "content": "a"},
    ]
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    for file in FILES:
        write(tmp_path / file, {"messages": turns, "tools": tools})
        [(place, row)] = open_rows(tmp_path / file)
        conversation = parse_conversation(row, place)
        assert [call["function"] for call in conversation.messages[1].tool_calls] == calls
        assert conversation.tools == tuple(tools)
        assert conversation.messages[2] == Message("tool", "3", tool_call_id="1")
