"""Which columns of a row are used beside the question and the answer, and that all others are named."""

import pytest

from strop.chat import Message, parse_conversation, parse_row
from strop.chat.columns import check_columns, implied_format, map_columns
from strop.common.errors import InputError

TOOL = {"type": "function", "function": {"name": "add"}}


def texts(row):
    return [message.content for message in parse_conversation(row, "f:1").messages]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "Who?", "context": "Ada leads.", "answer": "Ada"}, ["Ada leads.\n\nWho?", "Ada"]),
        ({"prompt": "Translate", "input": "hello", "output": "bonjour"}, ["Translate\n\nhello", "bonjour"]),
        ({"prompt": "Translate", "query": "hello", "response": "bonjour"}, ["Translate\n\nhello", "bonjour"]),
        ({"instruction": "Sum", "question": "1, 2", "answer": "3"}, ["Sum\n\n1, 2", "3"]),
        ({"instruction": "Sum", "answer": "3"}, ["Sum", "3"]),
        ({"prompt": "Translate: hello", "input": "hello", "output": "bonjour"}, ["Translate: hello", "bonjour"]),
        ({"question": "q", "context": "", "answer": "a"}, ["q", "a"]),
        ({"prompt": "3+3?", "completion": "6", "history": [["2+2?", "4"]]}, ["2+2?", "4", "3+3?", "6"]),
        ({"prompt": "3+3?", "completion": "6", "history": '[["2+2?", "4"]]'}, ["2+2?", "4", "3+3?", "6"]),
        (
            {"prompt": "3+3?", "completion": "6", "history": [{"role": "user", "content": "hi"}]},
            ["hi", "3+3?", "6"],
        ),
        ({"prompt": "q", "completion": "a", "system_message": "s"}, ["s", "q", "a"]),
    ],
)
def test_columns_beside_the_question_are_used(row, expected):
    assert texts(row) == expected
    told = {name for name in parse_conversation(row, "f:1").notes if name != "context"}
    assert told == set()


def test_history_is_trained_as_well():
    row = {"prompt": "3+3?", "completion": "6", "history": [["2+2?", "4"]]}
    assert [message.loss_weight for message in parse_conversation(row, "f:1").messages] == [0, 1, 0, 1]
    with pytest.raises(InputError, match=r"field history\[0\]: expected a pair"):
        parse_conversation({**row, "history": [["2+2?"]]}, "f:1")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_beside_the_answer(name):
    for row in ({"question": "q", "answer": "a"}, {"instruction": "q", "output": "a"}):
        assert parse_conversation({**row, name: "r"}, "f:1").messages[1] == Message("assistant", "a", "r")


@pytest.mark.parametrize("name", ["tools", "functions", "tool_defs", "tool_definitions"])
def test_tools_by_every_name(name):
    row = {
        "messages": [{"role": "assistant", "content": "a"}],
        name: '[{"type": "function", "function": {"name": "add"}}]',
    }
    found = parse_conversation({"tools": None, **row}, "f:1")
    assert found.tools == (TOOL,)
    assert found.notes == {}
    for empty in ("null", "[]", "", None, []):
        assert parse_conversation({**row, name: empty}, "f:1").tools == ()


def test_tools_on_the_system_turn():
    """MiniMind's layout."""
    turns = [{"role": "system", "content": "s", "tools": '[{"name": "add"}]'}, {"role": "assistant", "content": "a"}]
    found = parse_conversation({"conversations": turns}, "f:1")
    assert (found.tools, found.notes) == (({"name": "add"},), {})


@pytest.mark.parametrize(
    ("row", "unread"),
    [
        ({"question": "q", "answer": "a", "id": 7, "source": "web", "meta": {}, "url": None}, {"id", "source"}),
        ({"prompt": "q", "completion": "a", "instruction": "other", "output": "b"}, {"instruction", "output"}),
        ({"question": "q", "context": ["p"], "answer": "a"}, {"context"}),
        ({"messages": [{"role": "assistant", "content": "a"}], "context": "c", "text": "all"}, {"context", "text"}),
        ({"instruction": "q", "input": "i", "context": "c", "output": "a"}, {"context"}),
        ({"messages": [{"role": "assistant", "content": "a"}], "documents": "no list"}, {"documents"}),
        ({"prompt": "q", "completion": "a", "score": 0}, {"score"}),
    ],
)
def test_columns_that_are_not_read_are_named(row, unread):
    assert set(parse_row(row, "f:1").notes) == {f"column:{name}" for name in unread}


def test_columns_beside_plain_text_are_named():
    assert parse_row({"text": "t", "url": "u"}, "f:1", "text").notes == {"column:url": 1}


# -- the mapping


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"prompt": "text", "completion": "code"}, {"prompt": "p", "completion": "c"}),
        ({"prompt": "text", "completion": "reward.truth"}, {"prompt": "p", "completion": "42", "code": "c"}),
        ({"completion": "turns[0]"}, {"completion": "t0", "text": "p", "code": "c"}),
        ({"completion": "turns.1"}, {"completion": "t1", "text": "p", "code": "c"}),
        ({"completion": "turns[-1].x"}, {"text": "p", "code": "c", "turns": ["t0", "t1"]}),
        ({"prompt": "code", "text": "text"}, {"prompt": "c", "text": "p"}),
        ({"system": "none"}, {"text": "p", "code": "c"}),
        ({"completion": "a.b"}, {"completion": "dotted", "text": "p", "code": "c"}),
    ],
)
def test_a_mapping_of_columns(columns, expected):
    row = {"text": "p", "code": "c", "reward": {"truth": "42", "n": 1}, "turns": ["t0", "t1"], "a.b": "dotted"}
    rest = {"reward", "turns", "a.b"}
    mapped = map_columns(row, columns)
    assert {name: value for name, value in mapped.items() if name not in rest or name in expected} == expected


def test_mapped_columns_are_not_told_as_unread():
    row = map_columns({"q": "p", "r": {"truth": "42"}}, {"prompt": "q", "completion": "r.truth"})
    found = parse_row(row, "f:1")
    assert ([m.content for m in found.messages], found.notes) == (["p", "42"], {})


@pytest.mark.parametrize(
    ("columns", "format"),
    [
        ({"prompt": "a", "completion": "b"}, "prompt_completion"),
        ({"instruction": "a", "output": "b"}, "alpaca"),
        ({"chosen": "a", "rejected": "b"}, "preference"),
        ({"messages": "dialog"}, "auto"),
        ({"text": "body"}, "auto"),
        ({}, "auto"),
    ],
)
def test_the_format_that_a_mapping_means(columns, format):
    assert implied_format(columns) == format


def test_names_that_no_format_knows():
    check_columns({"prompt": "a", "response": "b", "reasoning_content": "c"})
    with pytest.raises(ValueError, match="promt is no column that a format knows; did you mean prompt"):
        check_columns({"promt": "text"})
    with pytest.raises(ValueError, match="zzz is no column that a format knows; known: messages, conversations,"):
        check_columns({"zzz": "text"})
    with pytest.raises(ValueError, match="prompt is given no column"):
        check_columns({"prompt": ""})


@pytest.mark.parametrize(
    ("row", "offer"),
    [
        (
            {"title": "t", "body": "b", "n": 3},
            "but the row has title (a string), body (a string), n (a number); map "
            "them, e.g. columns: {prompt: title, completion: body}",
        ),
        ({"my question": "t", "gold": "b"}, "columns: {prompt: 'my question', completion: gold}"),
        ({"task": "t", "meta": {"solution": "s"}}, "columns: {prompt: task, completion: meta.solution}"),
        ({"body": "b"}, "to train on all of its text, set format: text and columns: {text: body}"),
        ({"n": 3}, "map them: columns: {prompt: COLUMN, completion: COLUMN}"),
    ],
)
def test_unknown_columns_are_listed_and_a_mapping_is_offered(row, offer):
    with pytest.raises(InputError) as caught:
        parse_row(row, "f:1")
    assert str(caught.value).startswith("f:1: expected messages, conversations, prompt and completion")
    assert str(caught.value).endswith(offer)
