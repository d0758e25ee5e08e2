import json

import pytest

from strop.chat import Conversation, Message, Part, parse_conversation
from strop.common.errors import InputError

CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
QA = (Message("user", "q"), Message("assistant", "a"))


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, QA),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, QA),
        ({"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, QA),
        ({"prompt": "q", "completion": "a"}, QA),
        ({"prompt": "q", "completion": [{"role": "assistant", "content": "a"}]}, QA),
        ({"prompt": "q", "completion": {"role": "assistant", "content": "a"}}, QA),
        ({"prompt": [{"role": "user", "content": "q"}], "completion": "a"}, QA),
        ({"prompt": "q", "completion": "a", "label": True}, QA),
        ({"question": "q", "answer": "a"}, QA),
        ({"query": "q", "response": "a"}, QA),
        ({"input": "q", "output": "a"}, QA),
        ({"prompt": "q", "response": "a"}, QA),
        ({"system_prompt": "s", "question": "q", "response": "a"}, (Message("system", "s"), *QA)),
        ({"conversation": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, QA),
        ({"messages": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, QA),
        ({"conversations": '[{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]'}, QA),
        ({"conversations": {"from": ["human", "gpt"], "value": ["q", "a"]}}, QA),
        ({"messages": {"role": ["user", "assistant"], "content": ["q", "a"], "name": [None, None]}}, QA),
        ({"messages": None, "prompt": "q", "completion": "a", "text": None}, QA),
        (
            {"system": "s", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
            (Message("system", "s"), *QA),
        ),
        (
            {"system": "s", "messages": [{"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}]},
            (Message("system", "s"), QA[1]),
        ),
        ({"instruction": "q", "output": "a"}, QA),
        ({"instruction": "q", "context": "i", "response": "a"}, (Message("user", "q\n\ni"), QA[1])),
        ({"instruction": "", "input": "q", "output": "a", "prompt": "q and a"}, QA),
        (
            {"instruction": "q", "output": "a", "history": [["q0", "a0"]]},
            (Message("user", "q0"), Message("assistant", "a0"), *QA),
        ),
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


def test_lists_of_json_text_are_lists():
    turn = {"role": "assistant", "tool_calls": [json.dumps(CALL)]}
    parsed = parse_conversation({"messages": [turn], "tools": ['{"name": "add"}']}, "f:1")
    assert parsed == Conversation((Message("assistant", tool_calls=(CALL,)),), ({"name": "add"},), "f:1")
    with pytest.raises(InputError, match=r"f:1: field tools\[0\]: expected JSON, but"):
        parse_conversation({"messages": [turn], "tools": ["{"]}, "f:1")


@pytest.mark.parametrize("functions", ['[{"name": "add"}]', [{"type": "function", "function": {"name": "add"}}]])
def test_functions_are_tools_by_an_older_name(functions):
    tools = ({"type": "function", "function": {"name": "add"}},)
    system, answer = {"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}
    on_turn = {"messages": [{**system, "functions": functions}, answer], "tools": None}
    beside = {"messages": [system, answer], "functions": functions, "tools": "[]"}
    assert parse_conversation(on_turn, "f:1").tools == parse_conversation(beside, "f:1").tools == tools


def test_the_older_function_calling_becomes_tool_calls():
    old = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": '{"a": 1}'}},
        {"role": "function", "name": "add", "content": "2"},
        {"role": "assistant", "content": "two", "function_call": None},
    ]
    assert parse_conversation({"messages": old}, "f:1").messages == (
        QA[0],
        Message("assistant", tool_calls=(CALL,)),
        Message("tool", "2", name="add"),
        Message("assistant", "two"),
    )


def test_null_fields_are_absent_but_not_in_arguments():
    call = {"id": None, "type": "function", "function": {"name": "f", "arguments": {"x": None}, "strict": None}}
    nulls = dict.fromkeys(
        ("tool_calls", "function_call", "name", "tool_call_id", "reasoning_content", "refusal", "from")
    )
    row = {
        "messages": [
            {"role": "user", "content": [{"type": "input_text", "text": "q"}], **nulls},
            {**nulls, "role": "assistant", "content": None, "tool_calls": [call]},
        ],
        "tools": None,
        "functions": None,
    }
    called = {"type": "function", "function": {"name": "f", "arguments": {"x": None}}}
    assert parse_conversation(row, "f:1") == Conversation(
        (QA[0], Message("assistant", tool_calls=(called,))), (), "f:1"
    )


USER, GOOD, WORSE = (
    {"role": "user", "content": "q"},
    {"role": "assistant", "content": "a"},
    {"role": "assistant", "content": "b"},
)
EARLIER = [{"role": "user", "content": "q0"}, {"role": "assistant", "content": "a0"}]
AFTER_EARLIER = (Message("user", "q0"), Message("assistant", "a0", train=False), *QA)


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, QA),
        ({"question": "q", "chosen": "a", "rejected": "b"}, QA),
        ({"prompt": "q", "chosen": [GOOD], "rejected": [WORSE]}, QA),
        ({"prompt": "q", "chosen": [USER, GOOD], "rejected": [USER, WORSE]}, QA),
        ({"prompt": "q", "chosen": [USER, GOOD], "rejected": [USER, WORSE], "messages": [USER, GOOD]}, QA),
        ({"prompt": [*EARLIER, USER], "chosen": [GOOD], "rejected": [WORSE]}, AFTER_EARLIER),
        ({"prompt": [*EARLIER, USER], "chosen": [*EARLIER, USER, GOOD], "rejected": [WORSE]}, AFTER_EARLIER),
        ({"chosen": [*EARLIER, USER, GOOD], "rejected": [*EARLIER, USER, WORSE]}, AFTER_EARLIER),
        ({"chosen": [USER, GOOD], "rejected": [USER, GOOD]}, QA),  # a tie is still an answer
        ({"chosen": [*EARLIER, USER, GOOD], "rejected": EARLIER}, AFTER_EARLIER),
        (
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "a"},
                "rejected": GOOD,
            },
            QA,
        ),
        (
            {
                "chosen": "\n\nHuman: q0\n\nAssistant: a0\n\nHuman: q\n\nAssistant: a",
                "rejected": "\n\nHuman: q0\n\nAssistant: a0\n\nHuman: q\n\nAssistant: b",
            },
            AFTER_EARLIER,
        ),
        ({"system": "s", "prompt": "q", "chosen": "a", "rejected": "b"}, (Message("system", "s"), *QA)),
    ],
)
def test_of_a_preference_the_chosen_answer_is_trained_and_no_shared_beginning(row, messages):
    assert parse_conversation(row, "f:1") == Conversation(messages, (), "f:1")
    assert parse_conversation(row, "f:1", "preference").messages == messages


def one(**message):
    return {"messages": [{"role": "user", "content": "q"}, message]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q", "reply": "a"}, "expected messages, conversations,"),
        ("text", "expected an object, found a string"),
        ({"messages": "hi"}, "field messages: expected a list, found a string"),
        ({"messages": []}, "field messages: the list is empty"),
        ({"messages": ["hi"]}, "field messages[0]: expected an object, found a string"),
        ({"messages": [{"role": "user", "content": "q"}]}, "there is no assistant turn"),
        (one(role="bot", content="a"), "field messages[1].role: the role is 'bot'; it must be one of system,"),
        (one(content="a"), "field messages[1].role: the role is missing"),
        (one(role="assistant"), "field messages[1].content: an empty assistant turn"),
        (one(role="assistant", content="", tool_calls=[]), "field messages[1].content: an empty assistant turn"),
        (one(role="user"), "field messages[1].content: a user message needs content"),
        (one(role="assistant", content=3), "field messages[1].content: expected a string, found a number"),
        (one(role="assistant", content="\ud800"), "field messages[1].content: the text holds half of a surrogate pair"),
        (
            one(role="assistant", content=[{"type": "image"}]),
            "field messages[1].content[0].type: expected text, reasoning, tool_call, python or",
        ),
        (
            one(role="assistant", content=[{"type": "text"}]),
            "field messages[1].content[0].text: expected a string, found null",
        ),
        (
            one(role="assistant", content="a", train="no"),
            "field messages[1].train: expected true or false (or 1 or 0), found a string",
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
            "field completion[0]: expected an object, found a string",
        ),
        ({"prompt": "q", "completion": ""}, "field completion.content: an empty assistant turn"),
        ({"instruction": "q", "output": None}, "field output.content: an empty assistant turn"),
        ({"prompt": 1, "completion": "a"}, "field prompt: expected a string or a list of messages, found a number"),
        ({"prompt": "q", "completion": "a", "label": False}, "field label: false says that this answer is not wanted"),
        (
            {"text": "just text"},
            "field text: plain text without '### Prompt' and '### Response' has no turns; set format:",
        ),
        (
            {"messages": {"role": ["user"], "content": []}},
            "field messages: expected a list of turns, found an object of",
        ),
        ({"messages": "[1"}, "field messages: expected JSON, but"),
        (
            {"messages": '[{"role": "user", "content": "q", "content": "lost"}]'},
            "field messages: the field content stands twice in one object; keep one of them",
        ),
        (
            {"instruction": "i", "input": float("nan"), "output": "a"},
            "field input: expected a string, found NaN; write null where there is no value",
        ),
        (
            one(role="assistant", function_call={"name": "f"}, tool_calls=[CALL]),
            "field messages[1].function_call: stands",
        ),
        (
            {"system": "t", "messages": [{"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}]},
            "field system: differs from the system message",
        ),
        (
            {"instruction": "q", "output": "a", "history": [["q"]]},
            "field history[0]: expected a pair, an instruction and its output",
        ),
        ({"chosen": "a", "rejected": "b"}, "field chosen: expected messages, or a transcript of 'Human:'"),
        ({"prompt": "q", "chosen": [USER], "rejected": "b"}, "field chosen: the last turn must be the assistant's"),
        ({"prompt": "q", "chosen": "", "rejected": "b"}, "field chosen.content: an empty assistant turn"),
        ({"prompt": "q", "chosen": None, "rejected": "b"}, "it holds a rejected answer alone"),
        ({"messages": [{"role": "assistant", "content": "a"}], "tools": "{"}, "field tools: expected JSON, but"),
    ],
)
def test_a_bad_row_names_place_field_and_mend(row, message):
    with pytest.raises(InputError) as caught:
        parse_conversation(row, "data.jsonl:42")
    assert str(caught.value).startswith(f"data.jsonl:42: {message}")
