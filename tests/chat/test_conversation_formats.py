import json

import pytest

from strop.chat import Conversation, Message, Part, parse_conversation
from strop.errors import InputError

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
QA = (Message("user", "q"), Message("assistant", "a"))


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, QA),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, QA),
        ({"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, QA),
        ({"prompt": "q", "completion": "a"}, QA),
        ({"instruction": "q", "output": "a"}, QA),
        ({"instruction": "q", "input": "", "output": "a"}, QA),
        ({"instruction": "q", "input": "i", "output": "a"}, (Message("user", "q\n\ni"), QA[1])),
        ({"system": "s", "instruction": "q", "output": "a"}, (Message("system", "s"), *QA)),
        ({"text": "### Prompt\nq\n### Response\na"}, QA),
        (
            {"text": "\n### Prompt\n\nq1\nq2\n\n### Response\n```\na\n```\n"},
            (Message("user", "q1\nq2"), Message("assistant", "```\na\n```")),
        ),
        (
            {
                "prompt": [{"role": "assistant", "content": "old"}, {"role": "user", "content": "q"}],
                "completion": [{"role": "assistant", "content": "a"}],
            },
            (Message("assistant", "old", train=False), *QA),
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "q"},
                    {"from": "function_call", "value": json.dumps(CALL["function"])},
                ]
            },
            (QA[0], Message("assistant", tool_calls=(CALL,))),
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "content": "a", "thinking": "t", "weight": 2, "train": True, "name": "n"}
                ]
            },
            (Message("assistant", "a", "t", weight=2.0, name="n"),),
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "python", "text": "b"}]}
                ]
            },
            (Message("assistant", "ab", parts=(Part("text", "a"), Part("python", "b"))),),
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "python_output", "text": "2"}]}]},
            (Message("assistant", "2", parts=(Part("python_output", "2"),)),),
        ),
    ],
)
def test_every_format(row, messages):
    assert parse_conversation(row, "f:1") == Conversation(messages, (), "f:1")


@pytest.mark.parametrize("arguments", ['{"a": 1}', {"a": 1}])
def test_tool_calls_and_tools_as_objects_or_as_json_text(arguments):
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": arguments}}
    row = {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}], "tools": '[{"name": "add"}]'}
    parsed = parse_conversation(row, "f:1")
    assert parsed.messages[0].tool_calls == ({**CALL, "id": "1"},)
    assert parsed.tools == ({"name": "add"},)


def test_functions_on_the_system_turn_are_tools():
    system = {"role": "system", "content": "s", "functions": '[{"name": "add"}]'}
    row = {"messages": [system, {"role": "assistant", "content": "a"}]}
    assert parse_conversation(row, "f:1").tools == ({"name": "add"},)


def one(**message):
    return {"messages": [{"role": "user", "content": "q"}, message]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q", "reply": "a"}, "field (row): expected messages, conversations,"),
        ("text", "field (row): expected an object, found a string"),
        ({"messages": "hi"}, "field messages: expected a list, found a string"),
        ({"messages": []}, "field messages: the list is empty"),
        ({"messages": ["hi"]}, "field messages[0]: expected an object, found a string"),
        ({"messages": [{"role": "user", "content": "q"}]}, "field (row): there is no assistant turn"),
        (one(role="bot", content="a"), "field messages[1].role: the role is 'bot'; it must be one of system,"),
        (one(content="a"), "field messages[1].role: the role is missing"),
        (one(role="assistant"), "field messages[1].content: an empty assistant turn"),
        (one(role="assistant", content="", tool_calls=[]), "field messages[1].content: an empty assistant turn"),
        (one(role="user"), "field messages[1].content: a user message needs content"),
        (one(role="assistant", content=3), "field messages[1].content: expected a string, found a number"),
        (one(role="assistant", content="\ud800"), "field messages[1].content: the text holds half of a surrogate pair"),
        (
            one(role="assistant", content=[{"type": "image"}]),
            "field messages[1].content[0].type: expected text, python or",
        ),
        (
            one(role="assistant", content=[{"type": "text"}]),
            "field messages[1].content[0].text: expected a string, found null",
        ),
        (
            one(role="assistant", content="a", train="no"),
            "field messages[1].train: expected true or false, found a string",
        ),
        (
            one(role="assistant", content="a", weight=-1),
            "field messages[1].weight: expected a finite number of at least 0",
        ),
        (one(role="assistant", content="a", weight=float("nan")), "field messages[1].weight: expected a finite number"),
        (one(role="user", content="a", tool_calls=[CALL]), "field messages[1].tool_calls: only an assistant message"),
        (
            one(role="assistant", tool_calls=[{"function": {"arguments": {}}}]),
            "field messages[1].tool_calls[0].function.name: expected a string, found null",
        ),
        (
            one(role="assistant", tool_calls=[{"function": {"name": "f", "arguments": "{a"}}]),
            "field messages[1].tool_calls[0].function.arguments: expected JSON, but",
        ),
        (
            one(role="assistant", tool_calls=[{"function": {"name": "f", "arguments": "[1]"}}]),
            "field messages[1].tool_calls[0].function.arguments: expected an object, found a list",
        ),
        (
            {"conversations": [{"from": "narrator", "value": "x"}]},
            "field conversations[0].from: expected one of system, human,",
        ),
        ({"conversations": [{"from": "gpt"}]}, "field conversations[0].value: expected a string, found null"),
        (
            {"prompt": "q", "completion": ["a"]},
            "field completion: prompt and completion must both be strings or both be lists",
        ),
        ({"prompt": "q", "completion": ""}, "field completion.content: an empty assistant turn"),
        ({"instruction": "q", "output": None}, "field output.content: an empty assistant turn"),
        ({"text": "just text"}, "field text: expected a line '### Prompt'"),
        ({"messages": [{"role": "assistant", "content": "a"}], "tools": "{"}, "field tools: expected JSON, but"),
    ],
)
def test_a_bad_row_names_place_field_and_mend(row, message):
    with pytest.raises(InputError) as caught:
        parse_conversation(row, "data.jsonl:42")
    assert str(caught.value).startswith(f"data.jsonl:42: {message}")
